"""The workers of a search, watched, and as many as there is room for while nodes join and leave a cluster.

Ray starts a worker that is lost with its node again where there is room. Where there is none, it is let go, and its
trials go on elsewhere. A node that joins gets workers, which take trials once they have built their trainers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

import ray

from sp_search.message import say
from sp_search.search.workers.device_time import DeviceTime
from sp_search.search.workers.watchdog import Tell, Watchdog

FOLLOW_S = 5.0
"""How often the nodes are counted."""

Room = Callable[[], tuple[int, Collection[str]]]
"""How many workers fit on the nodes that live now, and Ray's ids of these nodes."""


class Fleet:
    """Actors by number. A number is never given twice."""

    def __init__(
        self,
        workers: Sequence[Any],
        start: Callable[[], Any] | None = None,
        room: Room | None = None,
        most: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        tell: Tell = say,
        device_time: DeviceTime | None = None,
    ) -> None:
        """Begin with these workers.

        Args:
            workers: actors, which live or are being started.
            start: starts one more.
            room: says how many fit; None = their number stays.
            most: workers at most; None = as many as fit.
            clock: seconds.
            tell: takes a line on a worker that comes or goes.
            device_time: is told now and then which workers live.
        """
        self._start, self._room, self._most = start, room, most
        self._clock, self._tell = clock, tell
        self._members = dict(enumerate(workers))
        self._coming: dict[int, tuple[Any, Any]] = {}  # number -> the actor, and a reference that is ready when it is
        self._next_number, self._follow_at = len(workers), clock() + FOLLOW_S
        self._nodes: Collection[str] = ()
        self._watchdog, self._device_time = Watchdog(clock, tell), device_time
        for number, worker in self._members.items():
            self._watchdog.watch(number, worker)

    @property
    def members(self) -> dict[int, Any]:
        """The workers that trials may go to, by number."""
        return self._members

    def check(self) -> None:
        """Watch the workers, and follow the nodes; cheap enough to be called often.

        Raises:
            StudyError: as `Watchdog.check`.
        """
        if self._room is not None and self._start is not None and self._clock() >= self._follow_at:
            self._follow_at = self._clock() + FOLLOW_S
            self._follow(self._room, self._start)
        self._watchdog.check()
        if self._device_time is not None and self._device_time.is_due:
            self._device_time.count([node for n in self._members if (node := self._watchdog.node_of(n))])

    def close(self) -> None:
        """End all workers."""
        for worker in (*self._members.values(), *(worker for worker, _ in self._coming.values())):
            ray.kill(worker)

    def _follow(self, room: Room, start: Callable[[], Any]) -> None:
        for number, (worker, ready) in list(self._coming.items()):
            if ray.wait([ready], timeout=0)[0]:
                del self._coming[number]
                self._members[number] = worker
                self._watchdog.watch(number, worker)
                self._tell(f"worker {number} joins: the cluster has room for it")
        fitting, nodes = room()
        for node in [node for node in self._nodes if node not in nodes]:
            self._tell(f"node {node[:8]} has left the cluster; {len(nodes)} are there")
        self._nodes = nodes
        wanted = max(1, fitting if self._most is None else min(fitting, self._most))
        for _ in range(wanted - len(self._members) - len(self._coming)):
            worker = start()
            self._coming[self._next_number] = worker, worker.pulse.remote()
            self._next_number += 1
        self._let_go(len(self._members) + len(self._coming) - wanted, nodes)

    def _let_go(self, surplus: int, nodes: Collection[str]) -> None:
        """End workers that have no place any more: first those that never had one, then those of lost nodes."""
        for number in list(self._coming)[: max(0, surplus)]:
            ray.kill(self._coming.pop(number)[0])
            surplus -= 1
        lost = [n for n in self._members if (node := self._watchdog.node_of(n)) and node not in nodes]
        for number in lost[: max(0, surplus)]:
            ray.kill(self._members.pop(number))
            self._watchdog.forget(number)
            self._tell(
                f"worker {number} is let go: no node has room for it; its trials go on elsewhere from their last "
                f"saved states"
            )
