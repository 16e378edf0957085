"""Shows a running search on stderr: one screen on a terminal, elsewhere lines. stdout carries only the result.

A thread calls `tick` once a second, so that the clock of the screen goes on between reports, and a log has a line a
minute at least.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, TextIO

from rich.console import Console
from rich.live import Live

from sp_search.search.base.settings import SearchSettings
from sp_search.search.ui.lines import JsonLines, Lines, NoLines, PlainLines
from sp_search.search.ui.screen import screen
from sp_search.search.ui.state import Before, Run, SearchState
from sp_search.types import Params, Report

Log = Literal["text", "json"]
TICK_S, HEARTBEAT_S = 1.0, 60.0
KEPT_FREE = 3
"""Columns at the right edge, for the `^C` that a terminal writes behind the last line must not begin another."""


class Progress:
    """An observer that shows the progress of a search."""

    def __init__(
        self,
        settings: SearchSettings,
        stream: TextIO | None = None,
        *,
        log: Log = "text",
        quiet: bool = False,
        before: Before | None = None,
        valid: tuple[int, int] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Show a search.

        Args:
            settings: of the search.
            stream: where to; stderr by default.
            log: JSON lines for a program, or a screen or lines for people.
            quiet: show nothing.
            before: what an earlier start has left.
            valid: see `SearchState`.
            clock: seconds.
        """
        self._console = Console(file=stream or sys.stderr)
        self._state = SearchState(settings, clock, before, valid)
        self._lines: Lines = NoLines() if quiet else (JsonLines if log == "json" else PlainLines)(self._print)
        on_screen = self._console.is_terminal and log == "text" and not quiet
        self._live = Live(console=self._console, auto_refresh=False, transient=True) if on_screen else None
        self._held: Run | None = None  # reported, but not written yet: its end may come at once
        self._clock, self._written_at = clock, clock()
        self._turn = threading.RLock()
        self._over = threading.Event()

    def study_opened(self, info: Mapping[str, Any]) -> None:
        """Say what the search will do, and start the clock."""
        self._lines.opened(self._state)
        if self._live is not None:
            self._live.start()
        threading.Thread(target=self._tick_on, name="progress", daemon=True).start()

    def trial_started(self, number: int, params: Params, tags: Mapping[str, str]) -> None:
        """A run more."""
        with self._turn:
            self._write_held()
            self._state.started(number, params, tags)
            self._draw()

    def reported(self, number: int, report: Report) -> None:
        """A value more."""
        with self._turn:
            self._write_held()
            self._held = self._state.reported(number, report)
            self._draw()

    def measured(self, number: int, report: Report) -> None:
        """A value between two reports: on the screen, and for a program; people read a line a report."""
        with self._turn:
            self._write_held()
            run = self._state.measured(number, report)
            if self._live is None:
                self._lines.measured(self._state, run)
            self._draw()

    def trial_finished(self, number: int, state: str, reason: str, metrics: Mapping[str, float]) -> None:
        """A run ended; together with its last report it is one line."""
        with self._turn:
            if self._held is not None and self._held.number != number:
                self._write_held()
            self._held = self._state.finished(number, state, reason)
            self._write_held()
            self._draw()

    def copied(self, number: int, state: str) -> None:
        """A trial more has ended; it has no row."""
        with self._turn:
            self._state.copied(state)
            self._draw()

    def artifact(self, number: int | None, path: Path, artifact_path: str) -> None:
        """Show nothing for files."""

    def table(self, artifact: str) -> None:
        """Show nothing for tables."""

    def study_finished(self, summary: Mapping[str, Any]) -> None:
        """Say who won, and what its cheap rivals come to."""
        self._stop()
        self._lines.finished(self._state, summary)

    def close(self, timeout_s: float) -> None:
        """Leave the terminal as it was."""
        self._stop()

    def tick(self) -> None:
        """Let the clock go on; called once a second."""
        with self._turn:
            self._write_held()
            if self._live is None and self._clock() - self._written_at >= HEARTBEAT_S:
                self._written_at = self._clock()
                self._lines.alive(self._state)
            self._draw()

    def _tick_on(self) -> None:
        while not self._over.wait(TICK_S):
            self.tick()

    def _write_held(self) -> None:
        if self._held is not None and self._live is None:
            self._written_at = self._clock()
            self._lines.told(self._state, self._held)
        self._held = None

    def _draw(self) -> None:
        if self._live is not None and not self._over.is_set():
            width, height = self._console.size
            self._live.update(screen(self._state, width - KEPT_FREE, height), refresh=True)

    def _stop(self) -> None:
        with self._turn:
            self._over.set()
            self._write_held()
            if self._live is not None:
                self._live.stop()
                self._live = None

    def _print(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)
