"""One line that says how far a long piece of work is, on stderr: a bar on a terminal, elsewhere a line a minute."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.text import Text

FIRST_LINE_S, LINE_EVERY_S, DRAW_EVERY_S = 5.0, 60.0, 0.1
"""Seconds before the first line, between two lines, and between two drawings of the bar."""

BAR = 40
"""Columns of the bar at most."""


class ProgressLine:
    """Shows the progress of one piece of work after the other. It can be pickled before it shows anything."""

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        """Show it on a stream, stderr by default; the clock is in seconds."""
        self._stream, self._clock = stream, clock
        self._console: Console | None = None
        self._live: Live | None = None
        self._next = 0.0  # when it may be shown again
        self._began: float | None = None

    def show(self, share: float, words: str) -> None:
        """Say how far it is, if the last time is long enough ago.

        Args:
            share: done, 0 to 1.
            words: the rest of the line.
        """
        now = self._clock()
        if self._began is None:
            self._begin(now)
        if now < self._next:
            return
        if self._live is None:
            self.say(words)
            self._next = now + LINE_EVERY_S
        else:
            self._live.update(bar(share, words, self._there().width), refresh=True)
            self._next = now + DRAW_EVERY_S

    def say(self, line: str) -> None:
        """A line that stays."""
        self._there().print(line, highlight=False, markup=False, soft_wrap=True)

    def close(self) -> None:
        """Take the bar away; what is shown next is another piece of work."""
        if self._live is not None:
            self._live.stop()
        self._live = self._began = None

    def _begin(self, now: float) -> None:
        self._began, self._next = now, now
        if self._there().is_terminal:
            self._live = Live(console=self._there(), auto_refresh=False, transient=True)
            self._live.start()
        else:
            self._next += FIRST_LINE_S

    def _there(self) -> Console:
        if self._console is None:
            self._console = Console(file=self._stream or sys.stderr)
        return self._console


def bar(share: float, words: str, width: int) -> Text:
    """How much is done, 0 to 1, with words; on a narrow terminal the words alone, cut off at its edge."""
    line = f"{share:4.0%} · {words}"
    length = max(0, min(BAR, width - len(line) - 1))
    done = round(share * length)
    line = f" {line}" if length else line
    room = width - length
    return (
        Text("━" * done, style="green", no_wrap=True)
        .append("─" * (length - done), style="dim")
        .append(line if len(line) <= room else f"{line[: room - 1]}…", style="default")
    )
