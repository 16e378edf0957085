"""The utterances that are units already, one line of JSON each as it is done: what a killed run goes on from."""

from __future__ import annotations

import fcntl
import hashlib
import json
from pathlib import Path

from sp_search.errors import DataError
from sp_search.units.recordings import Recording
from sp_search.units.unitizer import Heard


class Ledger:
    """A file of utterances by key. Units are read back from the file when asked for: memory holds keys and places."""

    def __init__(self, path: Path) -> None:
        """Open or create it; a last line that was cut off is dropped.

        Raises:
            DataError: another process has it open.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a+b")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._file.close()
            raise DataError(f"{path}: expected no other run that writes it, found one; wait for its end") from error
        self._places: dict[str, int] = {}
        self._file.seek(0)
        whole = 0
        for line in self._file:
            if not line.endswith(b"\n"):
                break
            self._places[json.loads(line)["key"]] = whole
            whole += len(line)
        self._file.truncate(whole)

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
        """Close the file."""
        self._file.close()


def recording_key(recording: Recording) -> str:
    """Which samples a recording is: its file as it is now, and the stretch of it. Labels have no part in it."""
    try:
        stat = recording.path.stat()
        state = f"{stat.st_size} {stat.st_mtime_ns}"
    except OSError:  # it is told of when it is read
        state = "absent"
    what = f"{recording.path}\n{state}\n{recording.start_s!r} {recording.duration_s!r}"
    return hashlib.sha256(what.encode()).hexdigest()[:32]
