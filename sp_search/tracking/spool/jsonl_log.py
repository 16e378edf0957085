"""An append-only log of events as JSON lines. Writers append an event; readers get all whole lines after an offset.

Each event is one write to a file opened for appending. So it survives the death of the process, needs no lock between
threads, and is safe in a signal handler. `make_durable` makes it survive the death of the machine. If a crash cuts
off a line, only that line is lost: the next writer ends it, and readers report its offset and continue.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sp_search.files.write import force_to_disk


@dataclass(frozen=True)
class Event:
    """An event of a search, with everything that is needed to send it later."""

    # of the study: study_opened, study_finished, abandoned, tabled, renamed, sampled; of a trial: trial_started,
    # reported, measured, trial_finished; to upload: artifact, model
    kind: str
    time_ms: int  # since 1970
    number: int | None  # the trial, None for the study
    data: Mapping[str, Any]  # values as JSON returns them; NaN and infinities are strings


@dataclass(frozen=True)
class Chunk:
    """Some events of a log, in order."""

    events: tuple[Event, ...]
    end: int  # byte offset after the last of them
    torn: tuple[int, ...]  # byte offsets of lines that are no events


class LogWriter:
    """Appends events to a log, and first ends a line that a crash cut off."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._cut = False  # whether the last line has no end
        size = os.fstat(self._fd).st_size
        if size > 0 and os.pread(self._fd, 1, size - 1) != b"\n":
            os.write(self._fd, b"\n")

    def append(self, event: Event) -> None:
        """Append an event.

        Raises:
            OSError: it can't be written (disk full). Earlier events stay intact.
        """
        line = encode(event)
        if self._cut:
            line = b"\n" + line
        self._cut = True  # until the whole line is there
        while line:
            line = line[os.write(self._fd, line) :]
        self._cut = False

    def close(self) -> None:
        """Make the log durable and close it."""
        os.fsync(self._fd)
        os.close(self._fd)


def read_chunk(path: Path, offset: int, max_bytes: int = 1 << 20) -> Chunk:
    """The events after a byte offset, up to about `max_bytes` of them; an unfinished last line is left."""
    if not path.exists():
        return Chunk((), offset, ())
    with path.open("rb") as stream:
        stream.seek(offset)
        text = stream.read(max_bytes)
        if not text.endswith(b"\n"):
            text += stream.readline()  # the rest of the line that max_bytes cut
    events, torn = [], []
    for line in text.split(b"\n")[:-1]:
        try:
            events.append(decode(line))
        except (ValueError, KeyError, TypeError, RecursionError):
            if line.strip():
                torn.append(offset)
        offset += len(line) + 1
    return Chunk(tuple(events), offset, tuple(torn))


def count_lines(path: Path, offset: int) -> int:
    """The number of whole lines after a byte offset."""
    if not path.exists():
        return 0
    with path.open("rb") as stream:
        stream.seek(offset)
        return sum(1 for line in stream if line.strip() and line.endswith(b"\n"))


def make_durable(path: Path) -> None:
    """Force the content of this file from memory to the disk."""
    if path.exists():
        force_to_disk(path)


def encode(event: Event) -> bytes:
    """An event as one line, including the line end."""
    fields = {"kind": event.kind, "time_ms": event.time_ms, "number": event.number, "data": plain(event.data)}
    return json.dumps(fields, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def decode(line: bytes) -> Event:
    """The event of one line.

    Raises:
        ValueError, KeyError, TypeError, RecursionError: the line is no event.
    """
    fields = json.loads(line)
    kinds = {"kind": str, "time_ms": int, "number": int | None, "data": dict}
    if wrong := [name for name, kind in kinds.items() if not isinstance(fields[name], kind)]:
        raise ValueError(f"{wrong[0]} of an event is something else")
    return Event(fields["kind"], fields["time_ms"], fields["number"], fields["data"])


def plain(value: Any) -> Any:
    """A value that JSON can hold: numpy numbers become Python's, NaN and infinities become strings, the rest text."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)
