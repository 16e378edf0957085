"""A trainer whose trials are saved for their requests: with every report, and by time in between.

A state has a note: what it is the state of, the last report of the trial, and what was measured since. A request that
comes again is answered from the note, or goes on from the state. Used by one thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from sp_search.search.base.protocol import TrialReport, TrialRequest, is_of, with_interim
from sp_search.search.workers.trainer import Note, Trainer
from sp_search.types import Report

T = TypeVar("T")


@dataclass
class _Live:
    """A trial that is in the trainer."""

    request: TrialRequest
    note: Note
    seen: int  # utterances
    saved_at: float

    def is_interim_due(self, before: int) -> bool:
        """Whether valid is to be measured, where it had seen `before` utterances a chunk ago."""
        return self.request.is_interim(before, self.seen)


class SavingTrainer:
    """Adds trials from their saved states, trains and saves them; counts the seconds of all that."""

    def __init__(self, trainer: Trainer, save_every_s: float) -> None:
        """Serve a trainer. A trial is saved again `save_every_s` seconds after its last save."""
        self.trainer = trainer
        self.engine_s = 0.0  # inside the trainer
        self._save_every_s = save_every_s
        self._live: dict[int, _Live] = {}

    def own_note(self, request: TrialRequest) -> Note | None:
        """The note of the state in the request's folder; None if there is none, or it is of something else."""
        note = self.trainer.note(Path(request.folder))
        return note if note is not None and is_of(note, request) else None

    def join(self, request: TrialRequest, note: Note | None) -> None:
        """Add a trial: from its saved state if that has a note, else from its start."""
        number, state = request.number, None if note is None else Path(request.folder)
        with self._timed():
            self.trainer.seek(request.position)
            self.trainer.add(number, request.params, seed=request.seed, budget=request.budget, state=state)
        note = note if note is not None else {"of": request.identity}
        self._live[number] = _Live(request, note, self.trainer.seen(number), time.monotonic())

    def drop(self, number: int) -> None:
        """Remove a trial."""
        del self._live[number]
        with self._timed():
            self.trainer.remove(number)

    def advance(self, until: Mapping[int, int]) -> tuple[dict[int, Report], dict[int, TrialReport]]:
        """Train trials for one chunk.

        Returns:
            The reports of those that reached their point, and interim ones of others that passed a point for them.
        """
        before = {number: self._live[number].seen for number in until}
        with self._timed():
            reports = self.trainer.advance(list(until), until)
            for number in until:
                self._live[number].seen = self.trainer.seen(number)
            others = [self._live[number] for number in until if number not in reports]
            due = [one.request.number for one in others if one.is_interim_due(before[one.request.number])]
            interim = self.trainer.interim(due) if due else {}
        position = self.trainer.position
        told = {n: TrialReport(one, self.trainer.facts(n), position, True) for n, one in interim.items()}
        for number, answer in told.items():
            self._live[number].note = with_interim(self._live[number].note, answer)
        return reports, told

    def saved_report(self, number: int, report: Report) -> TrialReport:
        """What the driver is told; the state is saved with it, unless the trial diverged."""
        answer = TrialReport(report, self.trainer.facts(number), self.trainer.position)
        if not report.diverged:
            self._live[number].note = answer.note(self._live[number].request)
            self.save(number)
        return answer

    def save(self, number: int) -> None:
        """Write a live trial's state and its last report into one file."""
        live = self._live[number]
        with self._timed():
            self.trainer.save(number, Path(live.request.folder), live.note)
        live.saved_at = time.monotonic()

    def save_if_due(self, number: int) -> None:
        """Save a trial whose last save is too long ago."""
        if time.monotonic() - self._live[number].saved_at > self._save_every_s:
            self.save(number)

    def as_saved(self, requests: Sequence[TrialRequest], errand: Callable[[], T]) -> T:
        """Do something while trials are here as they were saved."""
        here: list[int] = []
        try:
            for request in requests:
                self.join(request, {})
                here.append(request.number)
            with self._timed():
                return errand()
        finally:
            for number in here:
                self.drop(number)

    @contextmanager
    def _timed(self) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self.engine_s += time.monotonic() - began
