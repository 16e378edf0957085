"""How far an MLflow store has a spool: two byte offsets, on disk after every step.

A store has its own cursor, named after its URI without credentials, so that a study can be sent to another server as
a whole. A cursor that is lost or too old costs requests, not duplicates: sending again what is there changes nothing.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from sp_search.files.write import write_text
from sp_search.tracking.base.uri import redact
from sp_search.tracking.spool.jsonl_log import count_lines
from sp_search.tracking.spool.spool import Spool


@dataclass(frozen=True)
class Offsets:
    """What a store has, in bytes of the two logs."""

    events: int = 0
    artifacts: int = 0


class StoreOffset:
    """The durable position of one spool in one store."""

    def __init__(self, spool: Spool, uri: str) -> None:
        name = hashlib.sha256(redact(uri).encode()).hexdigest()[:12]
        self._spool = spool
        self._path = spool.folder / f"cursor-{name}.json"
        self._store = redact(uri)
        self.position = self._load()

    def move(self, position: Offsets) -> None:
        """Remember, through a crash, that the store has everything before this position."""
        write_text(self._path, json.dumps({"store": self._store, **asdict(position)}) + "\n")
        self.position = position

    def left(self) -> int:
        """How many events and files the store does not have yet."""
        here = self.position
        return count_lines(self._spool.events, here.events) + count_lines(self._spool.artifacts, here.artifacts)

    def _load(self) -> Offsets:
        try:
            fields = json.loads(self._path.read_text())
            position = Offsets(int(fields["events"]), int(fields["artifacts"]))
        except (OSError, ValueError, KeyError, TypeError):
            return Offsets()
        fits = position.events <= _size(self._spool.events) and position.artifacts <= _size(self._spool.artifacts)
        return position if fits else Offsets()


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
