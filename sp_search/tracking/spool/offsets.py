"""How much of a spool an MLflow store has: two byte offsets, written to the disk after every step.

Each store has its own file, named after its URI without credentials, so that a whole study can be sent to another
server. If the file is lost or too old, events are sent again. That costs requests, but makes no duplicates.
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
    """How many bytes of the two logs a store has."""

    events: int = 0
    artifacts: int = 0


class StoreOffset:
    """The position of one store in one spool, kept on the disk."""

    def __init__(self, spool: Spool, uri: str) -> None:
        name = hashlib.sha256(redact(uri).encode()).hexdigest()[:12]
        self._spool = spool
        self._path = spool.folder / f"cursor-{name}.json"
        self._store = redact(uri)
        self.position = self._load()

    def move(self, position: Offsets) -> None:
        """Record on the disk that the store has everything before this position."""
        write_text(self._path, json.dumps({"store": self._store, **asdict(position)}) + "\n")
        self.position = position

    def left(self) -> int:
        """The number of events and files that the store does not have yet."""
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
