"""The utterances that are units already, one line of JSON each as it is done: what a killed run goes on from."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

from sp_search.errors import ConfigError, DataError
from sp_search.files.lock import try_lock
from sp_search.files.paths import reason
from sp_search.message import say
from sp_search.units.recordings import Recording
from sp_search.units.unitizer import Heard

UNITS = re.compile(r"[0-9]+( [0-9]+)*")


class Ledger:
    """A file of utterances by key. Units are read back from the file when asked for: memory holds keys and places."""

    def __init__(self, path: Path) -> None:
        """Open or create it; lines that are damaged are left out, at the end cut off, and this is said on stderr.

        Raises:
            DataError: another process has it open.
            ConfigError: it can't be written.
        """
        try:
            lock = try_lock(path.with_name(f"{path.name}.lock"))
            if lock is None:
                raise DataError(f"{path}: expected no other run that writes it, found one; wait for its end")
            self._lock = lock
            self._file = path.open("a+b")
        except OSError as error:
            raise ConfigError(f"{path}: expected to write there, got {reason(error)}; choose another to=") from error
        self._places: dict[str, int] = {}
        self._file.seek(0)
        at = whole = damaged = 0
        for line in self._file:
            key = _key_of(line)
            if key is not None:
                self._places[key] = at
                whole = at + len(line)
            damaged += key is None
            at += len(line)
        self._file.truncate(whole)
        if damaged:
            say(f"{path}: left out {damaged} damaged line{'s' * (damaged > 1)}; what they held is heard again")

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def add(self, heard: Heard) -> None:
        """Write the units of an utterance; they survive the end of this process from now on."""
        line = json.dumps({"key": heard.key, "units": " ".join(map(str, heard.units))}) + "\n"
        self._places[heard.key] = self._file.seek(0, 2)
        self._file.write(line.encode())
        self._file.flush()

    def units(self, key: str) -> str:
        """The units of an utterance in one string, parted by blanks."""
        self._file.seek(self._places[key])
        units: str = json.loads(self._file.readline())["units"]
        return units

    def close(self) -> None:
        """Close the file and let another process have it."""
        self._file.close()
        self._lock.close()


def _key_of(line: bytes) -> str | None:
    """The key of a whole line; None for one that is torn, or is no record of ours."""
    try:
        record = json.loads(line) if line.endswith(b"\n") else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or not isinstance(key := record.get("key"), str):
        return None
    units = record.get("units")
    return key if isinstance(units, str) and UNITS.fullmatch(units) else None


def recording_key(recording: Recording) -> str:
    """Which samples a recording is: its file as it is now, and the stretch of it. Labels have no part in it."""
    try:
        stat = recording.path.stat()
        state = f"{stat.st_size} {stat.st_mtime_ns}"
    except (OSError, ValueError):  # it is told of when it is read
        state = "absent"
    what = f"{recording.path}\n{state}\n{recording.start_s!r} {recording.duration_s!r}"
    return hashlib.sha256(what.encode(errors="surrogateescape")).hexdigest()[:32]
