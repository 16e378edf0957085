"""What a worker says of itself apart from its work: where it runs, and how long its engine thread is at one step."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import ray

from sp_search.host import killed_for_memory


@dataclass(frozen=True)
class Pulse:
    """A worker at one moment. A piece of work is one chunk of training with its reports, or one errand."""

    pid: int
    node: str  # Ray's id of the node
    busy_s: float  # since the piece began that the engine thread is at; 0 if it waits for work
    is_errand: bool  # of that piece: not a chunk, whose length is known from earlier ones
    longest_s: float  # the longest chunk so far
    chunks: int  # done since the worker was started
    trials: tuple[int, ...]  # live
    killed_for_memory: int  # processes of its cgroup so far


class WorkClock:
    """Times the pieces of the engine thread; read by another thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Nothing has been done yet."""
        self._clock = clock
        self._now: tuple[float, bool] | None = None  # when the current piece began, and whether it is an errand
        self._longest_s, self._chunks = 0.0, 0
        self._node = ray.get_runtime_context().get_node_id() if ray.is_initialized() else ""

    @contextmanager
    def piece(self, *, is_errand: bool) -> Iterator[None]:
        """Time a piece of work."""
        began = self._clock()
        self._now = began, is_errand
        try:
            yield
        finally:
            self._now = None
            if not is_errand:
                self._longest_s, self._chunks = max(self._longest_s, self._clock() - began), self._chunks + 1

    def pulse(self, trials: tuple[int, ...]) -> Pulse:
        """The worker now."""
        began, is_errand = self._now or (self._clock(), False)
        return Pulse(
            pid=os.getpid(),
            node=self._node,
            busy_s=self._clock() - began,
            is_errand=is_errand,
            longest_s=self._longest_s,
            chunks=self._chunks,
            trials=trials,
            killed_for_memory=killed_for_memory(),
        )
