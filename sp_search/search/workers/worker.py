"""The process that owns a device: one trainer that trains its trials together.

One thread does all work in the trainer. It adds and removes trials, trains the ones whose next report was requested,
one chunk at a time, and saves each trial with its report. Trials of a chunk see the same batches. If the driver has
not yet requested a trial's next report, the thread waits for it briefly; then the others continue without it. Between
two reports a request is answered with an interim one at each of the trial's points for it.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from sp_search.search.base.protocol import TrialReport, TrialRequest, noted_report
from sp_search.search.workers.failure_log import log_failure
from sp_search.search.workers.pulse import Pulse, WorkClock
from sp_search.search.workers.saving import SavingTrainer
from sp_search.search.workers.trainer import Given, LogProbs, Numbers, Trainer

PATIENCE_S = 0.1
"""How long a chunk waits for the next request of a trial. The driver answers in milliseconds."""

T = TypeVar("T")


Ask = Callable[[TrialRequest, int], TrialReport]
"""The `report` of another worker, as a function."""


@dataclass
class _Pending:
    """A request for a trial's next report."""

    request: TrialRequest
    after: int
    answer: Future[TrialReport | Ask] = field(
        default_factory=Future
    )  # an Ask if the trial was handed over to another worker


class Worker:
    """An actor that collects the requests of many trials and trains them together; its methods run in threads."""

    def __init__(self, make_trainer: Callable[[], Trainer], save_every_s: float = math.inf) -> None:
        """Make the trainer in this process, and start the engine thread.

        Args:
            make_trainer: is called here.
            save_every_s: a trial is saved with every report, and this long after its last save.
        """
        self._saving = SavingTrainer(make_trainer(), save_every_s)  # used by the engine thread alone
        self._clock = WorkClock()
        self._is_cut_short = False
        self._turn = threading.Condition()  # guards the next three
        self._asked: dict[int, _Pending] = {}
        self._leaving: set[int] = set()
        self._errands: list[Callable[[], None]] = []
        self._live: dict[
            int, float
        ] = {}  # trial -> until when to wait for its next request; used by the engine thread alone
        self._ready_at = time.monotonic()
        threading.Thread(target=self._run, name="engine", daemon=True).start()

    def report(self, request: TrialRequest, after: int) -> TrialReport:
        """Train a trial to its first report, or interim one, after `after` utterances; save its state with a report.

        A trial that is not live is added, from its saved state if there is one. A report that was made before, but
        lost with a worker or a driver, is returned again unchanged.

        Raises:
            KeyError: the trial was removed meanwhile.
            Exception: the one that its run raised; the traceback is in the study's `logs`.
        """
        asked = _Pending(request, after)
        with self._turn:
            self._asked[request.number] = asked
            self._turn.notify()
        found = asked.answer.result()
        return found if isinstance(found, TrialReport) else found(request, after)

    def tune_result(self, request: TrialRequest, after: int, metric: str) -> dict[str, Any]:
        """Like `report`, but returns a Tune result; `metric` is the deciding one."""
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
        trainer = self._saving.trainer

        def errand() -> tuple[dict[str, Any], list[dict[str, Any]]]:
            return trainer.measure(shares, split, given), [trainer.facts(number) for number in shares]

        return self._in_trainer(lambda: self._as_saved(requests, errand))

    def scores(self, request: TrialRequest, split: str) -> LogProbs:
        """The log-probabilities of what a trial as it was saved may answer to a split."""
        scores = partial(self._saving.trainer.scores, request.number, split)
        return self._in_trainer(lambda: self._as_saved([request], scores))

    def events(self, split: str) -> tuple[Numbers, Numbers]:
        """What is right at each event of `scores`, and the utterance it belongs to."""
        return self._in_trainer(lambda: self._saving.trainer.events(split))

    def remove(self, number: int) -> None:
        """Remove a trial, without waiting for it. An unknown number is no fault: the trial may have been lost."""
        with self._turn:
            asked = self._asked.pop(number, None)
            self._leaving.add(number)
            self._turn.notify()
        if asked is not None:
            asked.answer.set_exception(KeyError(number))

    def hand_over(self, number: int, to: Ask) -> None:
        """Let another worker continue a trial. A pending request is still answered by this worker."""
        with self._turn:
            self._errands.append(partial(self._hand_over, number, to))
            self._turn.notify()

    def cut_short(self, is_short: bool) -> None:
        """From now on every trial reports behind its next chunk, or no longer does."""
        self._is_cut_short = is_short

    def save_now(self) -> None:
        """Save every live trial, between two chunks."""
        self._in_trainer(self._save_all)

    def pulse(self) -> Pulse:
        """Where this worker runs, and what its engine thread is at."""
        return self._clock.pulse(tuple(self._live))

    def time_share(self) -> tuple[float, float]:
        """Seconds inside the engine, and seconds since the trainer was made."""
        return self._saving.engine_s, time.monotonic() - self._ready_at

    def _in_trainer(self, errand: Callable[[], T]) -> T:
        """Run a function in the engine thread between two chunks, and wait for its result."""
        done: Future[T] = Future()
        with self._turn:
            self._errands.append(partial(_settle, done, errand))
            self._turn.notify()
        return done.result()

    def _run(self) -> None:
        """Work for ever. An exception is passed to all waiting trials, and so to the driver."""
        while True:
            try:
                self._turn_once()
            except Exception as error:  # noqa: BLE001, this thread must live, or all trials would wait for ever
                with self._turn:
                    waiting = list(self._asked.values())
                for asked in waiting:
                    self._tell(asked, error)

    def _turn_once(self) -> None:
        with self._turn:
            self._wait()
            leaving, self._leaving = self._leaving, set()
        for number in leaving & self._live.keys():
            self._drop(number)
        with self._turn:
            errands, self._errands = self._errands, []
            asked = dict(self._asked)
        for errand in errands:
            with self._clock.piece(is_errand=True):
                errand()
        if not leaving and not errands:
            with self._clock.piece(is_errand=False):
                self._chunk(asked)

    def _wait(self) -> None:
        """Wait for work. A chunk begins when all live trials have a request, or have had time for one."""
        while not (self._leaving or self._errands):
            silent = self._live.keys() - self._asked.keys()
            left_s = max((self._live[number] for number in silent), default=0.0) - time.monotonic()
            if self._asked and left_s <= 0:
                return
            self._turn.wait(left_s if self._asked else None)

    def _chunk(self, asked: Mapping[int, _Pending]) -> None:
        """Add new trials, train all requested trials for one chunk, and answer those that reached their report."""
        for number, one in asked.items():
            if number not in self._live:
                self._let_in(one)
        live = {number: one for number, one in asked.items() if number in self._live}
        until = {number: point for number, one in live.items() if (point := one.request.next_point(one.after))}
        for number in live.keys() - until.keys():
            self._tell(asked[number], _nothing_to_come(asked[number]))
        if not until:
            return
        if self._is_cut_short:
            until = dict.fromkeys(until, 1)
        try:
            reports, interim = self._saving.advance(until)
        except Exception as error:  # noqa: BLE001, it becomes the answer of every waiting trial, and they fail
            for number in until:
                self._tell(asked[number], error)
            return
        for number in until:
            try:
                if number in reports:
                    self._tell(asked[number], self._saving.saved_report(number, reports[number]))
                elif number in interim:
                    self._tell(asked[number], interim[number])
                else:
                    self._saving.save_if_due(number)
            except Exception as error:  # noqa: BLE001, what one trial's folder raises becomes its answer alone
                self._tell(asked[number], error)

    def _let_in(self, asked: _Pending) -> None:
        """Add a trial, or answer it with the report that its saved state has already."""
        request = asked.request
        try:
            note = self._saving.own_note(request)
            if note is not None and (before := noted_report(note, asked.after)) is not None:
                self._tell(asked, before)
            elif request.next_point(asked.after) is None:
                raise _nothing_to_come(asked)
            else:
                self._saving.join(request, note)
                self._live[request.number] = 0.0
        except Exception as error:  # noqa: BLE001, it becomes the answer of the trial, and the trial fails
            self._tell(asked, error)

    def _drop(self, number: int) -> None:
        del self._live[number]
        self._saving.drop(number)

    def _save_all(self) -> None:
        """Save the trials whose next report was requested: the driver has kept all that it was told of them."""
        with self._turn:
            asked = self._asked.keys() & self._live.keys()
        for number in asked:
            self._saving.save(number)

    def _as_saved(self, requests: Sequence[TrialRequest], errand: Callable[[], T]) -> T:
        """Do something with trials as they were saved. One that is live leaves first, until it is asked for again."""
        for number in {request.number for request in requests} & self._live.keys():
            self._drop(number)
        return self._saving.as_saved(requests, errand)

    def _hand_over(self, number: int, to: Ask) -> None:
        asked = self._asked.get(number)
        found: Ask | Exception = to
        if number in self._live:
            try:
                self._saving.save(number)
            except Exception as error:  # noqa: BLE001, it becomes the answer of the trial, and the trial fails
                found = error
            self._drop(number)
        if asked is not None:
            self._tell(asked, found)

    def _tell(self, asked: _Pending, found: TrialReport | Ask | Exception) -> None:
        """Answer a request, unless the trial was removed meanwhile."""
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


def _nothing_to_come(asked: _Pending) -> ValueError:
    return ValueError(f"trial {asked.request.number}: expected a report to come behind {asked.after} utterances")


def _settle(done: Future[T], errand: Callable[[], T]) -> None:
    try:
        done.set_result(errand())
    except Exception as error:  # noqa: BLE001, it becomes the result of the caller's future
        done.set_exception(error)
