"""The spool of a study, `runs/<study>/spool`: everything for MLflow is written to the disk first.

events.jsonl       the events of the study and its trials, in order
artifacts.jsonl    files and models to upload; apart, so that a store that refuses files still gets all metrics
files/<sha256>/    copies of those files, so that the originals may change or go
cursor-<uri>.json  how much of it one MLflow store has (offsets.py)
rejected.jsonl     what a store refused for good, and why
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sp_search.errors import StudyError
from sp_search.files.lock import Lock, try_lock
from sp_search.files.room import once_there_is_room
from sp_search.files.write import atomic_write, write_text
from sp_search.tracking.spool.jsonl_log import Event, LogWriter, read_chunk

_CHUNK_BYTES = 1 << 20
TENSORS = "prompt.safetensors"
LOCK_WAIT_S = 5.0  # `sync` holds the writer's lock for milliseconds


@dataclass(frozen=True)
class Spool:
    """The parts of a spool; reading it needs no lock."""

    folder: Path

    @property
    def events(self) -> Path:
        """The log of events."""
        return self.folder / "events.jsonl"

    @property
    def artifacts(self) -> Path:
        """The log of files to upload."""
        return self.folder / "artifacts.jsonl"

    @property
    def rejected(self) -> Path:
        """The log of events and files that a store refused."""
        return self.folder / "rejected.jsonl"

    @property
    def files(self) -> Path:
        """The folder of copied files."""
        return self.folder / "files"

    def all_events(self, until: int | None = None) -> Iterator[Event]:
        """All events, oldest first; with `until`, only those before this byte offset."""
        offset, end = 0, -1
        while offset != until and offset != end:
            size = _CHUNK_BYTES if until is None else min(_CHUNK_BYTES, until - offset)
            chunk = read_chunk(self.events, offset, size)
            yield from chunk.events
            offset, end = chunk.end, offset

    def opened(self) -> Event | None:
        """The first event that opened the study. Its tags stay, however often the study is continued."""
        return next((event for event in self.all_events() if event.kind == "study_opened"), None)

    def name(self) -> str | None:
        """What the study is called in its last event that says so."""
        named = ("study_opened", "renamed")
        return next((event.data["name"] for event in reversed([*self.all_events()]) if event.kind in named), None)

    def is_ended(self) -> bool:
        """Whether the last event of the study itself is its end."""
        aside = ("tabled", "renamed", "sampled")
        kinds = [event.kind for event in self.all_events() if event.number is None and event.kind not in aside]
        return not kinds or kinds[-1] in ("study_finished", "abandoned")

    def lock_sender(self) -> Lock | None:
        """The right to send; None while another process sends."""
        return try_lock(self.folder / "sender.lock")

    def try_writer(self) -> SpoolWriter | None:
        """The right to append; None while another process has it."""
        lock = try_lock(self.folder / "writer.lock")
        return None if lock is None else SpoolWriter(self, lock)


class SpoolWriter:
    """The one process that may append to a spool."""

    def __init__(self, spool: Spool, lock: Lock) -> None:
        self.spool = spool
        self._lock = lock
        self._events = LogWriter(spool.events)
        self._artifacts = LogWriter(spool.artifacts)

    def append(self, kind: str, number: int | None, data: Mapping[str, Any]) -> None:
        """Append an event, in under a millisecond; it outlives this process. A full disk is waited for."""
        event = Event(kind, now_ms(), number, data)
        once_there_is_room(self.spool.events, partial(self._events.append, event))

    def append_artifact(self, number: int | None, path: Path, artifact_path: str) -> None:
        """Copy a file, or every file below a folder, and record that it is to be uploaded.

        Raises:
            FileNotFoundError: there is no such file.
        """
        if path.is_dir():
            for child in sorted(path.iterdir()):
                inner = f"{artifact_path}/{child.name}".lstrip("/") if child.is_dir() else artifact_path
                self.append_artifact(number, child, inner)
            return
        kept = once_there_is_room(self.spool.files, partial(self._keep, path))
        self._to_upload("artifact", number, {"file": self._named(kept), "artifact_path": artifact_path})

    def append_text(self, name: str, text: str) -> None:
        """Keep a text as a file of the study, and record that it is to be uploaded. A full disk is waited for.

        Args:
            name: of the file.
            text: its content.
        """
        kept = self.spool.files / hashlib.sha256(text.encode()).hexdigest() / name
        once_there_is_room(self.spool.files, partial(write_text, kept, text))
        self._to_upload("artifact", None, {"file": self._named(kept), "artifact_path": ""})

    def append_model(self, folder: Path, data: Mapping[str, Any]) -> None:
        """Copy the files of a folder, and record that they are a model of the study. A full disk is waited for.

        Args:
            folder: its files; prompt.safetensors says which model it is.
            data: of `winner_of`.
        """
        files = [path for path in sorted(folder.iterdir()) if path.is_file()]
        kept = [once_there_is_room(self.spool.files, partial(self._keep, path)) for path in files]
        digest = next(path.parent.name for path in kept if path.name == TENSORS)
        self._to_upload("model", None, {**data, "digest": digest, "files": [self._named(path) for path in kept]})

    def close(self) -> None:
        """Make both logs durable and release the lock."""
        self._events.close()
        self._artifacts.close()
        self._lock.close()

    def _to_upload(self, kind: str, number: int | None, data: Mapping[str, Any]) -> None:
        event = Event(kind, now_ms(), number, data)
        once_there_is_room(self.spool.artifacts, partial(self._artifacts.append, event))

    def _named(self, kept: Path) -> str:
        return str(kept.relative_to(self.spool.folder))

    def _keep(self, path: Path) -> Path:
        """Copy the file under the sha256 of its content. The copy is whole or absent."""
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        kept = self.spool.files / digest / path.name
        if not kept.exists():
            with atomic_write(kept) as unfinished:
                shutil.copyfile(path, unfinished)
        return kept


def open_writer(spool: Spool, wait_s: float = LOCK_WAIT_S) -> SpoolWriter:
    """The writer of a spool. If `sync` holds the lock, wait a moment for it.

    Raises:
        StudyError: another search writes it.
    """
    deadline = time.monotonic() + wait_s
    while (writer := spool.try_writer()) is None:
        if time.monotonic() > deadline:
            raise StudyError(
                f"{spool.folder}: expected no other search on this study, got one that is running; "
                "wait for it, or give this one another STUDY"
            )
        time.sleep(0.05)
    return writer


def now_ms() -> int:
    """Milliseconds since 1970, MLflow's time."""
    return time.time_ns() // 1_000_000
