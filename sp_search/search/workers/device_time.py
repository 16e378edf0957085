"""How long workers have lived, by the kind of their node: what devices cost, also of workers that were lost."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

EVERY_S = 1.0
"""How often the workers are counted."""


class DeviceTime:
    """Counts the seconds of all workers of a start."""

    def __init__(self, kind_of: Callable[[str], str], clock: Callable[[], float] = time.monotonic) -> None:
        """Begin without workers.

        Args:
            kind_of: the kind of a node, given Ray's id of it.
            clock: seconds.
        """
        self._kind_of, self._clock = kind_of, clock
        self._seconds: dict[str, float] = {}
        self._living: Counter[str] = Counter()
        self._counted_at = clock()

    @property
    def is_due(self) -> bool:
        """Whether it is time to count again."""
        return self._clock() >= self._counted_at + EVERY_S

    @property
    def seconds(self) -> Mapping[str, float]:
        """Of all workers so far, by kind."""
        return dict(self._seconds)

    @property
    def living(self) -> Mapping[str, int]:
        """The workers at the last count, by kind."""
        return dict(self._living)

    def count(self, nodes: Sequence[str]) -> None:
        """Charge the time since the last count to the workers that lived then.

        Args:
            nodes: Ray's ids of the nodes of the workers that live now, one for each worker.
        """
        now = self._clock()
        for kind, workers in self._living.items():
            self._seconds[kind] = self._seconds.get(kind, 0.0) + workers * (now - self._counted_at)
        self._living, self._counted_at = Counter(map(self._kind_of, nodes)), now
