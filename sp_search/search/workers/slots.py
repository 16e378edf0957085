"""The slots of all workers, each trial on the worker with the fewest.

When nothing waits for a slot any more, as at the end of a search, a worker with more trials hands some over to one
with fewer, in the middle of their training, so that all workers end together.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

import ray
from ray.exceptions import RayError

from sp_search.errors import StudyError
from sp_search.search.base.protocol import TrialReport, TrialRequest
from sp_search.search.workers.worker import report_elsewhere


class TrialSlot:
    """A trial's place on a worker, and what it waits for."""

    def __init__(self, request: TrialRequest, worker: int, ready: Any) -> None:
        """Place a trial on a worker, by its number in the list; ready is a reference that no other slot has."""
        self.request = request
        self.ready = ready
        self.worker = worker
        self.been_at = {worker}


class SlotPool:
    """The slots of a search's workers."""

    def __init__(self, workers: Sequence[Any], slots: int) -> None:
        """Serve so many slots on each of these actors."""
        self._workers = workers
        self._pulse = WorkerPulse(workers)
        self._slots = slots
        self._taken: list[TrialSlot] = []
        self._waiting: dict[Any, TrialSlot] = {}
        self._ready: list[Any] = []  # references of slots that were left: one costs milliseconds

    @property
    def workers(self) -> Sequence[Any]:
        """The actors."""
        return self._workers

    @property
    def is_free(self) -> bool:
        """Whether a slot is."""
        return len(self._taken) < self._slots * len(self._workers)

    def take(self, request: TrialRequest) -> TrialSlot:
        """Place a trial on the worker with the fewest. It joins with its first report."""
        counts = self._counts()
        slot = TrialSlot(request, counts.index(min(counts)), self._ready.pop() if self._ready else ray.put(True))
        self._taken.append(slot)
        return slot

    def ask(self, slot: TrialSlot, after: int) -> None:
        """Have a trial train to its first report behind so many utterances; `next_report` gives it."""
        self._waiting[self._workers[slot.worker].report.remote(slot.request, after)] = slot

    def request_tune_result(self, slot: TrialSlot, after: int, metric: str) -> Any:
        """The same as an object reference to what Tune takes."""
        return self._workers[slot.worker].tune_result.remote(slot.request, after, metric)

    def check(self) -> None:
        """To be called often while trials are waited for.

        Raises:
            StudyError: as `WorkerPulse.check`.
        """
        self._pulse.check()

    def next_report(self) -> tuple[TrialSlot, TrialReport | RayError]:
        """Wait for the first of what was asked for: a report, or why there is none.

        Raises:
            StudyError: as `check`.
        """
        ready: list[Any] = []
        while not ready:
            ready, _ = ray.wait(list(self._waiting), num_returns=1, timeout=EVERY_S)
            self.check()
        slot = self._waiting.pop(ready[0])
        try:
            return slot, cast(TrialReport, ray.get(ready[0]))
        except RayError as error:
            return slot, error

    def leave(self, slot: TrialSlot) -> Any:
        """End a trial wherever it has been; an object reference to that."""
        refs = [self._workers[worker].remove.remote(slot.request.number) for worker in slot.been_at]
        return refs[0]

    def free(self, slot: TrialSlot, *, is_wanted: bool) -> None:
        """Take a slot back; where none is wanted now, workers share what trials there are."""
        self._taken.remove(slot)
        self._ready.append(slot.ready)
        if not is_wanted:
            self._share()

    def clear(self) -> None:
        """Take all slots back: their trials have ended and were told to leave, whether or not the answer is there."""
        self._taken.clear()

    def _share(self) -> None:
        while (counts := self._counts()) and max(counts) - min(counts) > 1:
            full, free = counts.index(max(counts)), counts.index(min(counts))
            slot = next(slot for slot in reversed(self._taken) if slot.worker == full)
            to = partial(report_elsewhere, self._workers[free])
            self._workers[full].hand_over.remote(slot.request.number, to)
            slot.worker = free
            slot.been_at.add(free)

    def _counts(self) -> list[int]:
        """Trials on each worker."""
        return [sum(slot.worker == worker for slot in self._taken) for worker in range(len(self._workers))]


EVERY_S = 5.0

AWAY_S = 600.0
"""How long a worker may be away: a new node, and a new pack on it, take minutes."""


class WorkerPulse:
    """Asks all workers for a word now and then."""

    def __init__(self, workers: Sequence[Any], clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with these actors, which live."""
        self._workers = workers
        self._clock = clock
        self._next = clock() + EVERY_S
        self._asked: dict[int, tuple[Any, float]] = {}

    def check(self) -> None:
        """Cheap, to be called often.

        Raises:
            StudyError: a worker has been away for ten minutes.
        """
        now = self._clock()
        if now < self._next:
            return
        self._next = now + EVERY_S
        for number, worker in enumerate(self._workers):
            ref, since = self._asked.get(number, (None, now))
            if ref is None or ray.wait([ref], timeout=0)[0]:
                self._asked[number] = (worker.time_share.remote(), now)
            elif now - since > AWAY_S:
                raise StudyError(
                    f"cluster: expected {len(self._workers)} workers, got no word of one for {AWAY_S:.0f} s, as "
                    f"where its node was lost and no other has room; run the same command again to go "
                    f"on with what is left"
                )
