"""The study's journal, in the format of Optuna's own journal file: JSON lines, each one entry.

A line is one write, so it outlives the process at once; it is forced to the disk once a second, for doing so at every
line took 5 ms, ten times a trial. A crash of the whole machine can cost the last second. What a crash or a full disk
has left torn is cut off by `mend` before anything is appended, so that the file can always be read, by Optuna's own
tools too.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock
from optuna.storages.journal import BaseJournalBackend

from sp_search.errors import StudyError
from sp_search.files.write import force_to_disk, write_bytes

DURABLE_EVERY_S = 1.0


class Journal(BaseJournalBackend):
    """Entries of one study, oldest first."""

    def __init__(self, path: Path) -> None:
        """Open a journal, or begin one."""
        self._path = path
        self._lock = FileLock(path.with_name(f"{path.name}.lock"), thread_local=False)
        self._durable_at = time.monotonic()
        self._read_to = (0, 0)  # entries that were read, and the byte behind the last of them

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Add entries; others that write wait meanwhile. A killed process takes its lock with it.

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
            with self._path.open("ab") as file:
                file.write(lines.encode())
            if time.monotonic() - self._durable_at > DURABLE_EVERY_S:
                force_to_disk(self._path)
                self._durable_at = time.monotonic()
        finally:
            self._lock.release()

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """Entries from this number on; lines that are no entries are passed over, a last one without its end too."""
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
    """Cut what is no entry out of a journal that nobody writes now; says so in a line, "" for a sound one.

    What is cut out goes into `NAME.cut` beside it.
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
    """What a line says; None where it is no entry of Optuna's."""
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) and "op_code" in entry and "worker_id" in entry else None
