"""The command line as a user calls it from a folder: in this process, or in one of its own."""

import contextlib
import io
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from sp_search.cli.main import main

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
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(words)
    assert code == expect, err.getvalue()
    return Done(out.getvalue(), err.getvalue())


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
