"""The study's journal, in the format of Optuna's own journal file: JSON lines, each one entry.

Each line is one write, so it survives the death of the process. The file is forced to the disk once a second: doing
so for every line took 5 ms, ten times per trial. A crash of the whole machine can lose the last second. `mend` cuts
off lines that a crash or a full disk left incomplete, before anything is appended. So the file can always be read,
also by Optuna's own tools.
"""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from filelock import FileLock
from optuna.storages.journal import BaseJournalBackend

from sp_search.errors import StudyError
from sp_search.files.room import once_there_is_room
from sp_search.files.write import force_to_disk, write_bytes

DURABLE_EVERY_S = 1.0


class Journal(BaseJournalBackend):
    """The entries of one study, oldest first."""

    def __init__(self, path: Path) -> None:
        """Open a journal; a missing file is an empty one."""
        self._path = path
        self._lock = FileLock(path.with_name(f"{path.name}.lock"), thread_local=False)
        self._durable_at = time.monotonic()
        self._read_to = (0, 0)  # entries that were read, and the byte behind the last of them

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append entries while holding the lock, which the death of a process releases. Wait while the disk is full.

        Raises:
            StudyError: the file system has no locks.
        """
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        try:
            self._lock.acquire()
        except (NotImplementedError, OSError) as error:
            raise StudyError(
                f"{self._path}: expected a file system that locks files (flock), got {error}; mount it with locks, "
                f"put `runs` on another one, or keep the study in a database with cluster.storage=URL"
            ) from error
        try:
            once_there_is_room(self._path, partial(self._append, lines.encode()))
            if time.monotonic() - self._durable_at > DURABLE_EVERY_S:
                once_there_is_room(self._path, partial(force_to_disk, self._path))
                self._durable_at = time.monotonic()
        finally:
            self._lock.release()

    def _append(self, lines: bytes) -> None:
        """All of the lines, or none."""
        with self._path.open("ab", buffering=0) as file:
            size = file.tell()
            try:
                if file.write(lines) < len(lines):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
            except OSError:
                file.truncate(size)
                raise

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """The entries from a number on. Damaged lines are skipped, and so is a last line without its end."""
        number, offset = self._read_to if self._read_to[0] <= log_number_from else (0, 0)
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                offset += len(line)
                if (entry := _entry(line)) is not None:
                    number += 1
                    self._read_to = number, offset
                    if number > log_number_from:
                        yield entry


def mend(path: Path) -> str:
    """Cut damaged lines out of a journal that no one is writing. Returns a message, or "" if the journal is sound.

    The damaged lines are kept in `NAME.cut` in the same folder.
    """
    raw = path.read_bytes() if path.exists() else b""
    lines = raw.splitlines(keepends=True)
    sound = [line for line in lines if line.endswith(b"\n") and _entry(line) is not None]
    if len(sound) == len(lines):
        return ""
    kept = set(map(id, sound))
    cut = b"".join(line for line in lines if id(line) not in kept)
    beside = path.with_name(f"{path.name}.cut")
    with beside.open("ab") as file:
        file.write(cut + b"\n")
        os.fsync(file.fileno())
    write_bytes(path, b"".join(sound), durable=True)
    return (
        f"{path}: {len(lines) - len(sound)} damaged lines were cut out ({len(cut)} bytes, kept in {beside.name}), as "
        f"a crash or a full disk leaves them; {len(sound)} entries are whole"
    )


def _entry(line: bytes) -> dict[str, Any] | None:
    """The entry in a line; None if the line is not one of Optuna's entries."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) and "op_code" in entry and "worker_id" in entry else None
