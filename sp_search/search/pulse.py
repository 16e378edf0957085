"""Whether a search's workers live: Ray starts a lost one again, but waits without end where no node has room."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import ray

from sp_search.errors import StudyError

EVERY_S = 5.0

AWAY_S = 600.0
"""How long a worker may be away: a new node, and a new pack on it, take minutes."""


class Pulse:
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
