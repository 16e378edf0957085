"""The process that owns a device: one trainer, its trials stepped together.

One thread does all that is done in the trainer: it lets trials in and out, trains those that have asked for their
next report a chunk at a time, and saves what they report. Trials of a chunk see the same batches. One whose report is
still on its way to the driver is waited for a moment; then the others go on without it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

import ray

from sp_search.search.base.protocol import TrialReport, TrialRequest, is_of, noted_report
from sp_search.search.workers.failure_log import log_failure
from sp_search.search.workers.trainer import Given, LogProbs, Note, Numbers, Trainer
from sp_search.types import Report

PATIENCE_S = 0.1
"""How long a chunk waits for a trial's next request; a driver answers in milliseconds."""

T = TypeVar("T")


Ask = Callable[[TrialRequest, int], TrialReport]
"""A worker's `report`, wherever that worker is."""


@dataclass
class _Pending:
    """A trial that waits for its next report."""

    request: TrialRequest
    after: int
    answer: Future[TrialReport | Ask] = field(default_factory=Future)  # whom to ask instead, once it was handed over


class Worker:
    """An actor that collects the requests of many trials and trains them together; its methods run in threads."""

    def __init__(self, make_trainer: Callable[[], Trainer]) -> None:
        """Make the trainer in this process, and start stepping."""
        self._trainer = make_trainer()
        self._turn = threading.Condition()  # guards the next three
        self._asked: dict[int, _Pending] = {}
        self._leaving: set[int] = set()
        self._errands: list[Callable[[], None]] = []
        self._live: dict[int, float] = {}  # until when its next request is waited for; the engine thread's own
        self._notes: dict[int, Note] = {}  # of live trials, kept with their states; the engine thread's own
        self._engine_s = 0.0
        self._ready_at = time.monotonic()
        threading.Thread(target=self._run, name="engine", daemon=True).start()

    def report(self, request: TrialRequest, after: int) -> TrialReport:
        """Train a trial to its first report behind so many utterances; its state is saved with it.

        A trial that is not here joins, from its saved state if there is one. Asked again what was told before, as
        after the loss of a worker or a driver, it is told the same.

        Raises:
            KeyError: the trial was removed meanwhile.
            Exception: whatever its run raised; the traceback is in the study's `logs`.
        """
        asked = _Pending(request, after)
        with self._turn:
            self._asked[request.number] = asked
            self._turn.notify()
        found = asked.answer.result()
        return found if isinstance(found, TrialReport) else found(request, after)

    def tune_result(self, request: TrialRequest, after: int, metric: str) -> dict[str, Any]:
        """The same as Tune takes it; metric is the one that decides."""
        return self.report(request, after).tune_result(metric, request.budget)

    def answer(
        self, members: Sequence[tuple[TrialRequest, float]], split: str, given: Given = ()
    ) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """What trials as they were saved answer to a split together, in one pass, and what each of them weighs.

        Args:
            members: each with the weight of its log-probabilities.
            split: its name.
            given: see `MultiTrialTrainer.measure`, which also says what the first of the two holds.
        """
        requests, shares = [request for request, _ in members], {request.number: share for request, share in members}
        return self._in_trainer(
            lambda: self._as_saved(
                requests,
                lambda: (
                    self._trainer.measure(shares, split, given),
                    [self._trainer.facts(number) for number in shares],
                ),
            )
        )

    def scores(self, request: TrialRequest, split: str) -> LogProbs:
        """The log-probabilities of what a trial as it was saved may answer to a split."""
        return self._in_trainer(
            lambda: self._as_saved([request], lambda: self._trainer.scores(request.number, split))
        )

    def events(self, split: str) -> tuple[Numbers, Numbers]:
        """What is right at each event of `scores`, and the utterance it belongs to."""
        return self._in_trainer(lambda: self._trainer.events(split))

    def remove(self, number: int) -> None:
        """Let a trial go, without waiting for it; one that is not here is no fault, for it may have been lost."""
        with self._turn:
            asked = self._asked.pop(number, None)
            self._leaving.add(number)
            self._turn.notify()
        if asked is not None:
            asked.answer.set_exception(KeyError(number))

    def hand_over(self, number: int, to: Ask) -> None:
        """Have another worker go on with a trial; what was asked of it here is still answered here."""
        with self._turn:
            self._errands.append(partial(self._hand_over, number, to))
            self._turn.notify()

    def time_share(self) -> tuple[float, float]:
        """Seconds inside the engine, and seconds since the trainer was made."""
        return self._engine_s, time.monotonic() - self._ready_at

    def _in_trainer(self, errand: Callable[[], T]) -> T:
        """Have the engine's thread do something between chunks."""
        done: Future[T] = Future()
        with self._turn:
            self._errands.append(partial(_settle, done, errand))
            self._turn.notify()
        return done.result()

    def _run(self) -> None:
        """Work for ever. Whatever goes wrong goes to the trials that wait, and so to the driver."""
        while True:
            try:
                self._turn_once()
            except Exception as error:  # noqa: BLE001, this thread must live: else all trials would wait for ever
                with self._turn:
                    waiting = list(self._asked.values())
                for asked in waiting:
                    self._tell(asked, error)

    def _turn_once(self) -> None:
        with self._turn:
            self._wait()
            leaving, self._leaving = self._leaving, set()
            errands, self._errands = self._errands, []
            asked = dict(self._asked)
        for number in leaving & self._live.keys():
            self._drop(number)
        for errand in errands:
            errand()
        if not leaving and not errands:
            self._chunk(asked)

    def _wait(self) -> None:
        """Wait for something to do: a chunk begins when all live trials have asked for it, or had their time."""
        while not (self._leaving or self._errands):
            silent = self._live.keys() - self._asked.keys()
            left_s = max((self._live[number] for number in silent), default=0.0) - time.monotonic()
            if self._asked and left_s <= 0:
                return
            self._turn.wait(left_s if self._asked else None)

    def _chunk(self, asked: Mapping[int, _Pending]) -> None:
        """Let in who is new, train all that have asked for a chunk, and tell those that are due."""
        for number, one in asked.items():
            if number not in self._live:
                self._let_in(one)
        live = {number: one for number, one in asked.items() if number in self._live}
        until = {number: point for number, one in live.items() if (point := one.request.next_point(one.after))}
        for number in live.keys() - until.keys():
            self._tell(asked[number], _nothing_to_come(asked[number]))
        if not until:
            return
        try:
            with self._timed():
                reports = self._trainer.advance(list(until), until)
            for number, report in reports.items():
                self._tell(asked[number], self._saved(asked[number].request, report))
        except Exception as error:  # noqa: BLE001, given to every trial that waits, which fails with it
            for number in until:
                self._tell(asked[number], error)

    def _let_in(self, asked: _Pending) -> None:
        """Join a trial, or tell it what it was told before."""
        request, folder = asked.request, Path(asked.request.folder)
        try:
            note = self._trainer.note(folder)
            is_own = note is not None and is_of(note, request)
            saved = noted_report(note) if note is not None and is_own else None
            if saved is not None and saved.report.utterances_seen > asked.after:
                self._tell(asked, saved)
            elif request.next_point(asked.after) is None:
                raise _nothing_to_come(asked)
            else:
                self._join(request, folder if is_own else None)
                self._notes[request.number] = note if note is not None and is_own else {"of": request.identity}
        except Exception as error:  # noqa: BLE001, given to the trial, which fails with it
            self._tell(asked, error)

    def _join(self, request: TrialRequest, state: Path | None) -> None:
        with self._timed():
            self._trainer.seek(request.position)
            self._trainer.add(request.number, request.params, seed=request.seed, budget=request.budget, state=state)
        self._live[request.number] = 0.0

    def _drop(self, number: int) -> None:
        del self._live[number]
        self._notes.pop(number, None)
        with self._timed():
            self._trainer.remove(number)

    def _saved(self, request: TrialRequest, report: Report) -> TrialReport:
        answer = TrialReport(report, self._trainer.facts(request.number), self._trainer.position)
        if not report.diverged:
            self._notes[request.number] = answer.note(request)
            self._save(request)
        return answer

    def _save(self, request: TrialRequest) -> None:
        """Write a trial's state with the last report that was made of it, in one file."""
        with self._timed():
            self._trainer.save(request.number, Path(request.folder), self._notes[request.number])

    def _as_saved(self, requests: Sequence[TrialRequest], errand: Callable[[], T]) -> T:
        """Do something while trials are here as they were saved."""
        here: list[int] = []
        try:
            for request in requests:
                self._join(request, Path(request.folder))
                here.append(request.number)
            with self._timed():
                return errand()
        finally:
            for number in here:
                self._drop(number)

    def _hand_over(self, number: int, to: Ask) -> None:
        asked = self._asked.get(number)
        found: Ask | Exception = to
        if number in self._live:
            try:
                if asked is not None:
                    self._save(asked.request)
            except Exception as error:  # noqa: BLE001, given to the trial, which fails with it
                found = error
            self._drop(number)  # one that has not asked was saved with its last report
        if asked is not None:
            self._tell(asked, found)

    def _tell(self, asked: _Pending, found: TrialReport | Ask | Exception) -> None:
        """Answer a trial that still waits; one that was removed meanwhile no longer does."""
        with self._turn:
            if self._asked.get(asked.request.number) is not asked:
                return
            del self._asked[asked.request.number]
        if asked.request.number in self._live:
            self._live[asked.request.number] = time.monotonic() + PATIENCE_S
        if isinstance(found, Exception):
            log_failure(asked.request, found)
            asked.answer.set_exception(found)
        else:
            asked.answer.set_result(found)

    @contextmanager
    def _timed(self) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self._engine_s += time.monotonic() - began


def _nothing_to_come(asked: _Pending) -> ValueError:
    return ValueError(f"trial {asked.request.number}: expected a report to come behind {asked.after} utterances")


def _settle(done: Future[T], errand: Callable[[], T]) -> None:
    try:
        done.set_result(errand())
    except Exception as error:  # noqa: BLE001, given to whoever asked for it
        done.set_exception(error)


def report_elsewhere(worker: Any, request: TrialRequest, after: int) -> TrialReport:
    """Ask the worker of an actor's handle."""
    return cast(TrialReport, ray.get(worker.report.remote(request, after)))
