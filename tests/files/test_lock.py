"""One holder, freed by its death, and what a file system without locks does to it."""

import errno
import os
import subprocess
import sys
import threading

import pytest
from filelock import FileLock

from sp_search.files.lock import try_lock

HOLD = """
import sys
from pathlib import Path
from sp_search.files.lock import try_lock
held = try_lock(Path(sys.argv[1]))
print("held" if held else "refused", flush=True)
input()
"""


def test_one_process_holds_a_lock_and_its_death_frees_it(tmp_path):
    path = tmp_path / "new" / "lock"
    command = [sys.executable, "-c", HOLD, path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        assert try_lock(path) is None
        holder.kill()
        holder.wait()
    held = try_lock(path)
    assert held is not None
    assert try_lock(path) is None
    held.close()
    assert try_lock(path) is not None


def test_a_lock_that_is_soon_free_is_waited_for(tmp_path):
    held = try_lock(tmp_path / "lock")
    threading.Timer(0.3, held.close).start()
    assert try_lock(tmp_path / "lock", wait_s=10) is not None


@pytest.mark.parametrize("answer", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_where_there_are_no_locks_everyone_gets_one(tmp_path, monkeypatch, answer):
    monkeypatch.setattr(FileLock, "acquire", lambda *_, **__: _raise(answer))
    assert try_lock(tmp_path / "lock") is not None


def test_another_fault_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(FileLock, "acquire", lambda *_, **__: _raise(errno.EIO))
    with pytest.raises(OSError, match="Input/output error"):
        try_lock(tmp_path / "lock")


def _raise(number):
    raise OSError(number, os.strerror(number))
