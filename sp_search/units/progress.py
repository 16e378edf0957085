"""How far a corpus is on its way to units: a bar on a terminal, elsewhere a line every few seconds. On stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

LINE_EVERY_S = 5.0
DRAW_EVERY_S = 0.1
SHOWN_FAULTS = 20


class Progress:
    """Tells utterances done, how many a second, the time left, and what can't be read."""

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        """Tell it to a stream, stderr by default; the clock is in seconds."""
        self._console = Console(file=stream or sys.stderr)
        self._clock = clock
        self._live: Live | None = None

    def begin(self, what: str, total: int, done: int) -> None:
        """So many utterances, of which so many were done before."""
        self._what, self._total, self._done, self._new, self._faults = what, total, done, 0, 0
        self._began = self._told = self._clock()
        if self._console.is_terminal:
            self._live = Live(console=self._console, auto_refresh=False, transient=True)
            self._live.start()
        elif done:
            self._print(f"{what}: {done:,} of {total:,} utterances were done before")

    def advance(self, fault: str) -> None:
        """One more; the fault is empty where it could be read."""
        self._done += 1
        self._new += 1
        if fault:
            self._faults += 1
            if self._faults <= SHOWN_FAULTS:
                self._print(f"can't be read: {fault}")
        now = self._clock()
        if now - self._told >= (LINE_EVERY_S if self._live is None else DRAW_EVERY_S):
            self._told = now
            self._tell()

    def end(self) -> None:
        """No more come."""
        if self._live is not None:
            self._live.stop()
            self._live = None
        self._print(self._line())

    def _tell(self) -> None:
        if self._live is None:
            self._print(self._line())
            return
        row = Table.grid(padding=(0, 1))
        row.add_row(ProgressBar(total=self._total, completed=self._done, width=40), self._line())
        self._live.update(row, refresh=True)

    def _line(self) -> str:
        elapsed = self._clock() - self._began
        rate = self._new / elapsed if elapsed > 0 else 0.0
        left = f"{(self._total - self._done) / rate:.0f} s left" if rate else "? s left"
        if self._done == self._total:
            left = f"{elapsed:.0f} s"
        unreadable = f", {self._faults} can't be read" if self._faults else ""
        return f"{self._what}: {self._done:,} of {self._total:,} utterances, {rate:.1f} a second, {left}{unreadable}"

    def _print(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)
