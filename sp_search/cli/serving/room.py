"""Bounds the bytes of all requests that a server holds at the same time: those that come in, and those that wait."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sp_search.cli.serving.batcher import QueueFullError

Take = Callable[[int], None]
"""Takes room for so many bytes more of a request; raises QueueFullError where there is none."""


class Room:
    """The bytes that are left, for one event loop."""

    def __init__(self, most_bytes: int) -> None:
        """Hold up to so many bytes."""
        self._left = most_bytes

    @contextmanager
    def request(self) -> Iterator[Take]:
        """Room for the bytes of one request, until the end of the block."""
        taken = 0

        def take(count: int) -> None:
            nonlocal taken
            if count > self._left:
                raise QueueFullError(f"room for {count:,} bytes more")
            taken += count
            self._left -= count

        try:
            yield take
        finally:
            self._left += taken
