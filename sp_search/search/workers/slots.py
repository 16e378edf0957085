"""The slots of all workers. A trial goes to the worker with the fewest trials.

When no trial waits for a slot any more, as at the end of a search, a worker with more trials hands some over to a
worker with fewer, in the middle of their training, so that all workers end together.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, cast

import ray
from ray.exceptions import RayError

from sp_search.search.base.protocol import TrialReport, TrialRequest
from sp_search.search.workers.watchdog import EVERY_S, Watchdog


class TrialSlot:
    """A trial's place on a worker."""

    def __init__(self, request: TrialRequest, worker: int, ready: Any) -> None:
        """Place a trial on a worker, given by its index. `ready` is an object reference that no other slot has."""
        self.request = request
        self.ready = ready
        self.worker = worker
        self.been_at = {worker}


class SlotPool:
    """The slots of a search's workers."""

    def __init__(self, workers: Sequence[Any], slots: int) -> None:
        """Serve `slots` slots on each of these actors."""
        self._workers = workers
        self._watchdog = Watchdog(workers)
        self._slots = slots
        self._taken: list[TrialSlot] = []
        self._waiting: dict[Any, TrialSlot] = {}
        self._is_cut_short = False
        self._ready: list[Any] = []  # references of freed slots, to be used again: a new one takes milliseconds

    @property
    def workers(self) -> Sequence[Any]:
        """The actors."""
        return self._workers

    @property
    def is_free(self) -> bool:
        """Whether a slot is free."""
        return len(self._taken) < self._slots * len(self._workers)

    def take(self, request: TrialRequest) -> TrialSlot:
        """Place a trial on the worker with the fewest. Its training begins with the first request for a report."""
        counts = self._counts()
        slot = TrialSlot(request, counts.index(min(counts)), self._ready.pop() if self._ready else ray.put(True))
        self._taken.append(slot)
        return slot

    def ask(self, slot: TrialSlot, after: int) -> None:
        """Start training a trial to its first report after `after` utterances; `next_report` returns it."""
        self._waiting[self._workers[slot.worker].report.remote(slot.request, after)] = slot

    def request_tune_result(self, slot: TrialSlot, after: int, metric: str) -> Any:
        """Like `ask`, but returns an object reference to a Tune result."""
        return self._workers[slot.worker].tune_result.remote(slot.request, after, metric)

    def check(self) -> None:
        """Check that all workers live; call it often while waiting.

        Raises:
            StudyError: as `Watchdog.check`.
        """
        self._watchdog.check()

    def next_report(self) -> tuple[TrialSlot, TrialReport | RayError]:
        """Wait for the first requested report. Returns it, or the error that took its place.

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
        """End a trial on every worker that had it. The returned reference is ready when the first has done so."""
        refs = [self._workers[worker].remove.remote(slot.request.number) for worker in slot.been_at]
        return refs[0]

    def free(self, slot: TrialSlot, *, is_wanted: bool) -> None:
        """Take a slot back. If no trial waits for it, the remaining trials are spread over the workers."""
        self._taken.remove(slot)
        self._ready.append(slot.ready)
        if not is_wanted:
            self._share()

    def cut_short(self) -> None:
        """Let every live trial report behind its next chunk, wherever it stands, until `clear`."""
        if not self._is_cut_short:
            self._set_cut_short(True)

    def clear(self) -> None:
        """Take all slots back. Their trials have ended; their workers may still be removing them."""
        self._taken.clear()
        if self._is_cut_short:
            self._set_cut_short(False)

    def _set_cut_short(self, is_short: bool) -> None:
        self._is_cut_short = is_short
        ray.get([worker.cut_short.remote(is_short) for worker in self._workers])

    def _share(self) -> None:
        while (counts := self._counts()) and max(counts) - min(counts) > 1:
            full, free = counts.index(max(counts)), counts.index(min(counts))
            slot = next(slot for slot in reversed(self._taken) if slot.worker == full)
            to = partial(report_elsewhere, self._workers[free])
            self._workers[full].hand_over.remote(slot.request.number, to)
            slot.worker = free
            slot.been_at.add(free)

    def _counts(self) -> list[int]:
        """The number of trials on each worker."""
        return [sum(slot.worker == worker for slot in self._taken) for worker in range(len(self._workers))]


def report_elsewhere(worker: Any, request: TrialRequest, after: int) -> TrialReport:
    """Request a report from the worker behind an actor handle."""
    return cast(TrialReport, ray.get(worker.report.remote(request, after)))
