"""The slots of all workers. A trial goes to the worker with the fewest trials.

When no trial waits for a slot any more, as at the end of a search, a worker with more trials hands some over to a
worker with fewer, in the middle of their training, so that all workers end together.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, cast

import ray
from ray.exceptions import RayError, RayTaskError

from sp_search.errors import StudyError
from sp_search.search.base.protocol import TrialReport, TrialRequest
from sp_search.search.base.settings import staged
from sp_search.search.workers.fleet import Fleet
from sp_search.search.workers.watchdog import EVERY_S


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

    def __init__(self, fleet: Fleet, slots: int) -> None:
        """Serve `slots` slots on each worker of a fleet."""
        self._fleet, self._slots = fleet, slots
        self._taken: list[TrialSlot] = []
        self._waiting: dict[Any, tuple[TrialSlot, int]] = {}  # with the utterances behind which a report is wanted
        self._is_cut_short = False
        self._ready: list[Any] = []  # references of freed slots, to be used again: a new one takes milliseconds

    @property
    def workers(self) -> Sequence[Any]:
        """The actors that there are now."""
        return list(self._fleet.members.values())

    @property
    def in_flight(self) -> int:
        """How many trials run at the same time, on the workers that there are now."""
        return self._slots * len(self._fleet.members)

    @property
    def staged(self) -> int:
        """How many trials are prepared ahead."""
        return staged(self.in_flight)

    def most_live(self) -> int:
        """How many trials may run or be prepared at once."""
        return self.in_flight + self.staged

    @property
    def is_free(self) -> bool:
        """Whether a slot is free."""
        return len(self._taken) < self.in_flight

    def take(self, request: TrialRequest) -> TrialSlot:
        """Place a trial on the worker with the fewest. Its training begins with the first request for a report."""
        slot = TrialSlot(request, self._emptiest(), self._ready.pop() if self._ready else ray.put(True))
        self._taken.append(slot)
        return slot

    def ask(self, slot: TrialSlot, after: int) -> None:
        """Start training a trial to its first report after `after` utterances; `next_report` returns it."""
        self._waiting[self._worker_of(slot).report.remote(slot.request, after)] = slot, after

    def ask_again(self, slot: TrialSlot, after: int) -> None:
        """Like `ask`, for a trial whose run raised: it leaves its workers, and goes on from its last saved state."""
        ray.wait([self.leave(slot)], timeout=EVERY_S)  # or it might leave only behind the new request
        slot.been_at = {slot.worker}
        self.ask(slot, after)

    def request_tune_result(self, slot: TrialSlot, after: int, metric: str) -> Any:
        """Like `ask`, but returns an object reference to a Tune result."""
        return self._worker_of(slot).tune_result.remote(slot.request, after, metric)

    def check(self) -> None:
        """Check that all workers live, and follow the nodes of the cluster; call it often while waiting.

        Raises:
            StudyError: as `Fleet.check`.
        """
        self._fleet.check()

    def next_report(self) -> tuple[TrialSlot, TrialReport | RayError]:
        """Wait for the first requested report. Returns it, or the error that took its place.

        A trial whose worker was let go is asked of another one.

        Raises:
            StudyError: as `check`.
        """
        while True:
            ready, _ = ray.wait(list(self._waiting), num_returns=1, timeout=EVERY_S)
            self.check()
            if not ready:
                continue
            slot, after = self._waiting.pop(ready[0])
            try:
                return slot, cast(TrialReport, ray.get(ready[0]))
            except RayError as error:
                if not is_worker_lost(error):
                    return slot, error
                self._move(slot)
                self.ask(slot, after)

    def all_of(self, refs: Sequence[Any]) -> list[Any]:
        """Wait for what workers were asked apart from reports, and watch the workers meanwhile.

        Args:
            refs: object references.

        Returns:
            Their values, in the same order.

        Raises:
            StudyError: as `check`, or a worker was let go before it answered.
            RayTaskError: a worker raised.
        """
        waiting = list(refs)
        while waiting:
            _, waiting = ray.wait(waiting, num_returns=len(waiting), timeout=EVERY_S)
            self.check()
        try:
            return cast(list[Any], ray.get(list(refs)))
        except RayError as error:
            if not is_worker_lost(error):
                raise
            raise StudyError(
                "cluster: expected all workers to answer, but one was lost, and no node has room for it; run the "
                "same command again to go on with what is left"
            ) from error

    def leave(self, slot: TrialSlot) -> Any:
        """End a trial on every worker that had it. The returned reference is ready when the first has done so."""
        here = [self._fleet.members[number] for number in slot.been_at if number in self._fleet.members]
        refs = [worker.remove.remote(slot.request.number) for worker in here]
        return refs[0] if refs else slot.ready

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
        self.all_of([worker.cut_short.remote(is_short) for worker in self.workers])

    def _share(self) -> None:
        while (counts := self._counts()) and max(counts.values()) - min(counts.values()) > 1:
            full, free = max(counts, key=lambda number: counts[number]), self._emptiest()
            slot = next(slot for slot in reversed(self._taken) if slot.worker == full)
            to = partial(report_elsewhere, self._fleet.members[free])
            self._fleet.members[full].hand_over.remote(slot.request.number, to)
            slot.worker = free
            slot.been_at.add(free)

    def _worker_of(self, slot: TrialSlot) -> Any:
        """The actor of a trial; another one where its worker was let go before the first request."""
        if slot.worker not in self._fleet.members:
            self._move(slot)
        return self._fleet.members[slot.worker]

    def _move(self, slot: TrialSlot) -> None:
        slot.worker = self._emptiest()
        slot.been_at.add(slot.worker)

    def _emptiest(self) -> int:
        counts = self._counts()
        return min(counts, key=lambda number: counts[number])

    def _counts(self) -> dict[int, int]:
        """The number of trials on each worker."""
        return {number: sum(slot.worker == number for slot in self._taken) for number in self._fleet.members}


def is_worker_lost(error: BaseException) -> bool:
    """Whether it is not the run of a trial that failed, but a worker that had it and is gone.

    A worker that had handed the trial over raises the loss of the other one as its own error.
    """
    cause = getattr(error, "cause", None) or error
    return isinstance(cause, RayError) and not isinstance(cause, RayTaskError)


def report_elsewhere(worker: Any, request: TrialRequest, after: int) -> TrialReport:
    """Request a report from the worker behind an actor handle."""
    return cast(TrialReport, ray.get(worker.report.remote(request, after)))
