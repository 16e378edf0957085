"""How far a corpus is on its way to units. On stderr."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TextIO

from sp_search.durations import spoken
from sp_search.progress_line import ProgressLine

SHOWN_FAULTS = 20


class Progress:
    """Tells utterances done, how many a second, the time left, and what can't be read."""

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        """Tell it to a stream, stderr by default; the clock is in seconds."""
        self._line = ProgressLine(stream, clock)
        self._clock = clock

    def begin(self, what: str, total: int, done: int) -> None:
        """So many utterances, of which so many were done before."""
        self._what, self._total, self._done, self._new, self._faults = what, total, done, 0, 0
        self._began = self._clock()
        if done:
            self._line.say(f"{what}: {done:,} of {total:,} utterances were done before")
        self._show()

    def advance(self, fault: str) -> None:
        """One more; the fault is empty where it could be read."""
        self._done += 1
        self._new += 1
        if fault:
            self._faults += 1
            if self._faults <= SHOWN_FAULTS:
                self._line.say(f"can't be read: {fault}")
        self._show()

    def end(self) -> None:
        """No more come."""
        self._line.close()
        self._line.say(self._words())

    def _show(self) -> None:
        self._line.show(self._done / max(self._total, 1), self._words())

    def _words(self) -> str:
        elapsed = self._clock() - self._began
        rate = self._new / elapsed if elapsed > 0 else 0.0
        left = f"about {spoken((self._total - self._done) / rate)} left" if rate else "time left not known yet"
        if self._done == self._total:
            left = spoken(elapsed)
        unreadable = f", {self._faults} can't be read" if self._faults else ""
        return f"{self._what}: {self._done:,} of {self._total:,} utterances, {rate:.1f} a second, {left}{unreadable}"
