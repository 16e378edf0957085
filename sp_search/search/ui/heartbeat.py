"""A file in the study's folder that says, every few seconds, that the search lives and how far it is.

`sp-search status` reads it from any machine that sees the folder. The file is whole at any moment.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from sp_search.files.write import write_text
from sp_search.search.base.settings import SearchSettings
from sp_search.search.ui.state import Before, SearchState
from sp_search.search.ui.words import best_so_far, counted, time_left
from sp_search.types import Params, Report

HEARTBEAT_FILE = "heartbeat.json"
EVERY_S = 10.0


class Heartbeat:
    """An observer that writes the file, from its own thread and with every event that ends something."""

    def __init__(
        self,
        settings: SearchSettings,
        before: Before | None = None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Say nothing yet.

        Args:
            settings: of the search.
            before: what an earlier start has left.
            clock: seconds, for how long things take.
            now: seconds since 1970, for who reads the file.
        """
        self._state, self._now = SearchState(settings, clock, before), now
        self._path = settings.folder / HEARTBEAT_FILE
        self._last_error = ""
        self._how = "running"
        self._turn, self._over = threading.RLock(), threading.Event()

    def study_opened(self, info: Mapping[str, Any]) -> None:
        """Begin."""
        self.beat()
        threading.Thread(target=self._beat_on, name="heartbeat", daemon=True).start()

    def trial_started(self, number: int, params: Params, tags: Mapping[str, str]) -> None:
        """A run more."""
        with self._turn:
            self._state.started(number, params, tags)

    def reported(self, number: int, report: Report) -> None:
        """A value more."""
        with self._turn:
            self._state.reported(number, report)

    def measured(self, number: int, report: Report) -> None:
        """A value between two reports."""
        with self._turn:
            self._state.measured(number, report)

    def trial_finished(self, number: int, state: str, reason: str, metrics: Mapping[str, float]) -> None:
        """A run ended."""
        with self._turn:
            self._state.finished(number, state, reason)
            if state == "FAIL":
                self._last_error = f"trial {number}: {reason}"

    def copied(self, number: int, state: str) -> None:
        """A trial more has ended."""
        with self._turn:
            self._state.copied(state)

    def artifact(self, number: int | None, path: Path, artifact_path: str) -> None:
        """Nothing to say."""

    def table(self, artifact: str) -> None:
        """Nothing to say."""

    def study_finished(self, summary: Mapping[str, Any]) -> None:
        """The search ended well."""
        self._how = "finished"

    def close(self, timeout_s: float) -> None:
        """Say how it ended, for the last time."""
        self._over.set()
        if self._how == "running":
            self._how = "stopped"
            if (error := sys.exc_info()[1]) is not None and not isinstance(error, KeyboardInterrupt):
                self._last_error = f"{type(error).__name__}: {error}"
        self.beat()

    def beat(self) -> None:
        """Write the file."""
        with self._turn:  # or an older state could be written over the last one
            write_text(self._path, json.dumps(self._told()) + "\n")

    def _beat_on(self) -> None:
        while not self._over.wait(EVERY_S):
            with suppress(OSError):  # a disk that is full may have room for the next beat
                self.beat()

    def _told(self) -> dict[str, Any]:
        state = self._state
        return {
            "study": state.settings.study,
            "how": self._how,
            "at": self._now(),
            "every_s": EVERY_S,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "phase": state.phase,
            "share": round(state.share, 4),
            "trials": counted(state),
            "best": best_so_far(state),
            "time_left": time_left(state),
            "utterances_per_s": round(state.rate * state.settings.workers, 1),
            "running": [{"trial": run.name, "seen": run.seen, "value": run.value} for run in state.running],
            "last_error": self._last_error,
        }
