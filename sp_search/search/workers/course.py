"""The course of a worker: every call that changed a trial's numbers or told them, in order, as JSON lines.

Trials of a worker share its batches, micro-batches and cached source states. So the rounding of a trial's sums
depends on the other trials of its worker. The same calls in the same order give the same numbers to the last digit,
which is how `sp-search rerun` works. A worker that is started again begins a new file.

    {"t": ns, "call": "begin", "sizes": {...}}
    {"t": ns, "call": "seek", "position": 160}
    {"t": ns, "call": "add", "number": 3, "params": {...}, "seed": 7, "budget": 16000, "state": TOKEN or null}
    {"t": ns, "call": "advance", "until": {"3": 1120}, "reports": {"3": {"seen": 1120, "metrics": {...}}}}
    {"t": ns, "call": "interim", "reports": {"3": {"seen": 1600, "metrics": {...}}}}
    {"t": ns, "call": "save", "number": 3, "state": TOKEN}
    {"t": ns, "call": "remove", "number": 3}
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from io import FileIO
from pathlib import Path
from typing import Any

from sp_search.files.paths import is_disk_full
from sp_search.message import say
from sp_search.search.workers.trainer import Given, LogProbs, Note, Numbers, Trainer
from sp_search.types import Params, Report

STATE = "state"
"""Key of a note: the token of the save that the note belongs to."""


class RecordedTrainer:
    """A trainer that records its calls. If the disk is full, the record ends, but the search continues."""

    def __init__(self, trainer: Trainer, folder: Path) -> None:
        """Record this trainer in a new file of the folder; without a record where the disk has no room for the file.

        A worker that is started again must not end there: Ray starts none again whose own start has raised.
        """
        self._trainer = trainer
        self._file: FileIO | None = None
        path = folder / f"{time.time_ns()}-{os.getpid()}.jsonl"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = FileIO(path, "ab")  # unbuffered: closing it on a full disk has nothing left to write
        except OSError as error:
            if not is_disk_full(error):
                raise
            say(f"{path}: this worker leaves no record: {error}")
        self._write("begin", sizes=trainer.sizes())

    @property
    def position(self) -> int:
        """The position of the next batch."""
        return self._trainer.position

    def sizes(self) -> dict[str, Any]:
        """The sizes that affect how the trainer rounds its sums."""
        return self._trainer.sizes()

    def seek(self, position: int) -> None:
        """Continue from a batch."""
        self._trainer.seek(position)
        self._write("seek", position=position)

    def add(self, number: int, params: Params, *, seed: int, budget: int, state: Path | None = None) -> None:
        """Let a trial join."""
        token = None if state is None else (self._trainer.note(state) or {}).get(STATE)
        self._trainer.add(number, params, seed=seed, budget=budget, state=state)
        self._write("add", number=number, params=dict(params), seed=seed, budget=budget, state=token)

    def advance(self, numbers: Sequence[int], until: Mapping[int, int]) -> dict[int, Report]:
        """Train trials for a chunk."""
        reports = self._trainer.advance(numbers, until)
        self._write("advance", until={number: until[number] for number in numbers}, reports=_told(reports))
        return reports

    def seen(self, number: int) -> int:
        """How far a trial is."""
        return self._trainer.seen(number)

    def interim(self, numbers: Sequence[int]) -> dict[int, Report]:
        """Measure trials on valid between two reports; changes nothing."""
        reports = self._trainer.interim(numbers)
        self._write("interim", reports=_told(reports))
        return reports

    def measure(self, shares: Mapping[int, float], split: str, given: Given = ()) -> dict[str, Any]:
        """What trials answer to a split together; changes nothing."""
        return self._trainer.measure(shares, split, given)

    def scores(self, number: int, split: str) -> LogProbs:
        """What a trial may answer to a split; changes nothing."""
        return self._trainer.scores(number, split)

    def events(self, split: str) -> tuple[Numbers, Numbers]:
        """What is right at each event of `scores`."""
        return self._trainer.events(split)

    def save(self, number: int, folder: Path, note: Note) -> None:
        """Save a trial's state under a token; a later `add` records the token of the state it begins from."""
        token = secrets.token_hex(8)
        self._trainer.save(number, folder, {**note, STATE: token})
        self._write("save", number=number, state=token)

    def note(self, folder: Path) -> Note | None:
        """The note that a state was saved with."""
        return self._trainer.note(folder)

    def remove(self, number: int) -> None:
        """Let a trial go."""
        self._trainer.remove(number)
        self._write("remove", number=number)

    def facts(self, number: int) -> dict[str, Any]:
        """The facts of a trial: its parameters and bytes."""
        return self._trainer.facts(number)

    def _write(self, call: str, **values: Any) -> None:
        if self._file is None or self._file.closed:
            return
        line = (json.dumps({"t": time.time_ns(), "call": call, **values}) + "\n").encode()
        try:
            if self._file.write(line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            say(f"{self._file.name}: the record of this worker ends here: {error}")
            self._file.close()


def _told(reports: Mapping[int, Report]) -> dict[int, Any]:
    return {n: {"seen": report.utterances_seen, "metrics": dict(report.metrics)} for n, report in reports.items()}


def recorded(make_trainer: Callable[[], Trainer], folder: Path) -> Trainer:
    """Make a trainer that records its calls in a folder."""
    return RecordedTrainer(make_trainer(), folder)


def read_courses(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The calls of every worker of a study, by file. A file is read up to its first damaged line."""
    return {path.name: list(_calls(path)) for path in sorted(folder.glob("*.jsonl")) if path.is_file()}


def _calls(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as file:
        for line in file:
            try:
                call = json.loads(line)
            except (ValueError, RecursionError):
                return
            if not isinstance(call, dict) or not {"call", "t"} <= call.keys() or not line.endswith(b"\n"):
                return
            yield call
