"""The command line as a user calls it from a folder: in this process, or in one of its own."""

import contextlib
import io
import os
import subprocess
import sys
from dataclasses import is_dataclass
from importlib import import_module
from pathlib import Path
from typing import NamedTuple, get_type_hints

import pytest

from sp_search.cli.main import main
from sp_search.cli.settings import compose
from sp_search.cli.settings.overrides import is_read
from sp_search.config import Settings

LM = "lm=random:2x32x2"
SHORT = [
    "schedule.budget=512", "schedule.grace=128", "schedule.batch_size=8", "schedule.chunk_updates=4",
    "schedule.confirm.top=1", "schedule.confirm.seeds=2", "schedule.final.seeds=2", "schedule.final.stretch=1.5",
    "cluster.slots=2",
]  # fmt: skip
"""A search of seconds."""


class Done(NamedTuple):
    """What an ended command printed."""

    stdout: str
    stderr: str


def sp_search(folder: Path, *words: str, stdin: str = "", expect: int = 0) -> Done:
    """Here: all that it needs is imported once."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.chdir(folder):
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        patch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        read = _reads_of_settings(patch)
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(words)
    assert code == expect, err.getvalue()
    command = import_module(f"sp_search.cli.commands.{words[0] if words[0] != 'bench' else '_'.join(words[:2])}")
    lacking = sorted(key for key in read if not is_read(key, command.READS))
    assert not lacking, f"{words[0]} reads {lacking}, which its READS lacks"
    return Done(out.getvalue(), err.getvalue())


def _reads_of_settings(patch: pytest.MonkeyPatch) -> set[str]:
    """The dotted keys of the settings that the command reads, once it has them."""
    read: set[str] = set()
    load, sections = compose.load_settings, get_type_hints(Settings)
    running = []

    def recorded(prefix, names):
        def get(self, name):
            if running and name in names:
                read.add(prefix + name)
            return object.__getattribute__(self, name)

        return get

    def loaded(*given, **options):
        running.clear()  # a record reads its own settings when it is made
        config = load(*given, **options)
        running.append(True)
        return config

    patch.setattr(compose, "load_settings", loaded)
    for name, kind in sections.items():
        if is_dataclass(kind):
            patch.setattr(kind, "__getattribute__", recorded(f"{name}.", get_type_hints(kind).keys()), raising=False)
    leaves = {name for name, kind in sections.items() if not is_dataclass(kind)}
    patch.setattr(Settings, "__getattribute__", recorded("", leaves), raising=False)
    return read


def sp_search_alone(folder: Path, *words: str, stdin: str = "", expect: int = 0) -> Done:
    """In a process of its own: seconds of imports, and the exit code that a shell sees."""
    command = [sys.executable, "-m", "sp_search.cli", *words]
    environment = {
        **os.environ,
        "XDG_CACHE_HOME": str(folder / "cache"),
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    done = subprocess.run(
        command, cwd=folder, env=environment, input=stdin, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == expect, done.stderr
    return Done(done.stdout, done.stderr)
