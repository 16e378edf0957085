"""A clone of this checkout with an environment of its own, in which a shell runs what the pages type.

The shell is given each block as it stands. `sp-search` and `make` are found first in the environment's `bin`: two
scripts that append the sizes of `blocks.SMALL` to what was typed, and run the real ones. A server is stopped once it
has answered. `make test` is only looked through (`make -n`), since this runs inside of it; `make setup` finds the
environment set up.
"""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

from tests.environments import clean_environment, new_environment
from tests.pages.blocks import DEMO, OTHER, PYTHON, ROOT, SMALL, Block
from tests.tracking.servers import free_port

UNTIL_READY = Path("tests/pages/until_ready.py")
SP_SEARCH = """#!/bin/sh
case "$1" in
{cases}
esac
test "$1" = serve && exec {bin}/python {until_ready} {bin}/python -m sp_search.cli "$@"
exec {bin}/python -m sp_search.cli "$@"
"""
MAKE = """#!/bin/sh
case "$1" in
test) exec {make} -n "$@" ;;
search) exec {make} "$@" OVERRIDES={demo} ;;
ui) exec {bin}/python {until_ready} {make} "$@" OVERRIDES=port={port} ;;
*) exec {make} "$@" ;;
esac
"""
SMALL_SEARCH = """
import sp_search
real = sp_search.search
words = dict(word.split("=") for word in {demo!r})
trials = int(words.pop("trials"))
sp_search.search = lambda **given: real(**given | {{"trials": trials, "settings": words}})
"""
"""What stands before a block in Python."""


class Stranger:
    """Somebody in a fresh clone, who types what the pages say."""

    def __init__(self, folder: Path) -> None:
        """Clone into a new folder, and set its environment up."""
        self.folder = folder
        listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout
        for name in filter(None, names.split("\0")):
            if (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, folder / name)
        self._python = new_environment(folder / ".venv")
        (site,) = (folder / ".venv").glob("lib/python*/site-packages")
        (site / "clone.pth").write_text(f"{folder}\n")  # as `pip install --editable` has it
        self._variables = clean_environment(self._python, folder / "cache")
        self._write_scripts()
        (folder / ".venv/.stamp").touch()

    def types(self, block: Block) -> str:
        """Run a block in the clone's folder; returns what it printed on stdout."""
        assert block.language != OTHER
        if block.language == PYTHON:
            command = [self._python, "-c", SMALL_SEARCH.format(demo=DEMO) + block.text]
        else:
            command = ["bash", "-euo", "pipefail", "-c", block.text]
        done = subprocess.run(
            command, cwd=self.folder, env=self._variables, capture_output=True, text=True, timeout=600, check=False
        )
        assert done.returncode == 0, f"{block.text}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def _write_scripts(self) -> None:
        folder = self._python.parent
        make = shutil.which("make")
        places = {"bin": folder, "until_ready": self.folder / UNTIL_READY}
        cases = "\n".join(f'{name}) set -- "$@" {shlex.join(words)} ;;' for name, words in SMALL.items())
        scripts = {
            "sp-search": SP_SEARCH.format(**places, cases=cases),
            "make": MAKE.format(**places, make=make, demo=shlex.quote(" ".join(DEMO)), port=free_port()),
        }
        for name, text in scripts.items():
            (folder / name).write_text(text)
            os.chmod(folder / name, 0o755)
