"""How far a search is: told to a callback, or drawn in a notebook."""

from __future__ import annotations

import html
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sp_search.search.base.settings import SearchSettings
from sp_search.types import Params, Report

PHASES = {"search": "searching", "confirm": "confirming the best", "final": "training the winner"}
"""What a search does, by the role of the trial that it reports of."""


@dataclass(frozen=True)
class SearchProgress:
    """How far a search is."""

    study: str
    phase: str  # starting, searching, confirming the best, training the winner, ended
    trials: int  # to be searched in all
    ended: int  # of these
    metric: str  # that decides, on valid, as "valid accuracy"
    best: float | None  # its best value so far; None before the first report
    utterances_per_s: float
    seconds: float  # since this start of the search

    def __str__(self) -> str:
        best = "-" if self.best is None else f"{self.best:.4f}"
        return (
            f"{self.study}: {self.phase}, {self.ended} of {self.trials} trials ended, best {self.metric} {best}, "
            f"{self.utterances_per_s:.0f} utterances/s, {self.seconds:.0f} s"
        )

    def _repr_html_(self) -> str:
        return f'<progress value="{self.ended}" max="{self.trials}"></progress> {html.escape(str(self))}'


class ProgressTeller:
    """An observer that tells a callback how far a search is, at each event."""

    def __init__(
        self,
        settings: SearchSettings,
        callback: Callable[[SearchProgress], object],
        ended_before: int,
        best_before: float | None = None,
    ) -> None:
        """Tell of a search with these settings.

        Args:
            settings: of the search.
            callback: is told.
            ended_before: trials that ended in earlier starts.
            best_before: the best value that these reported; None without a report.
        """
        self._settings, self._callback, self._ended_before = settings, callback, ended_before
        self._ended: set[int] = set()
        self._searched: set[int] = set()
        self._best = best_before
        self._rate, self._phase = 0.0, "starting"
        self._began = time.monotonic()

    def study_opened(self, info: Mapping[str, Any]) -> None:
        """The search begins."""
        self._tell()

    def trial_started(self, number: int, params: Params, tags: Mapping[str, str]) -> None:
        """A trial begins."""
        self._phase = PHASES.get(tags["role"], self._phase)
        if tags["role"] == "search":
            self._searched.add(number)
        self._tell()

    def reported(self, number: int, report: Report) -> None:
        """A trial reported."""
        value = report.metrics[self._settings.metric]
        self._best = value if self._best is None else max(self._best, value)
        self._rate = report.metrics.get("utterances_per_s", self._rate)
        self._tell()

    def measured(self, number: int, report: Report) -> None:
        """Tell nothing of what decides nothing."""

    def trial_finished(self, number: int, state: str, reason: str, metrics: Mapping[str, float]) -> None:
        """A trial ended."""
        if number in self._searched:
            self._ended.add(number)
        self._tell()

    def copied(self, number: int, state: str) -> None:
        """A trial more has ended."""
        self._ended.add(number)
        self._tell()

    def artifact(self, number: int | None, path: Path, artifact_path: str) -> None:
        """Tell nothing of files."""

    def table(self, artifact: str) -> None:
        """Tell nothing of tables."""

    def study_finished(self, summary: Mapping[str, Any]) -> None:
        """The search ended."""
        self._phase = "ended"
        self._tell()

    def close(self, timeout_s: float) -> None:
        """Nothing is open."""

    def _tell(self) -> None:
        s = self._settings
        self._callback(
            SearchProgress(
                study=s.study,
                phase=self._phase,
                trials=s.trials,
                ended=self._ended_before + len(self._ended),
                metric=s.metric.replace("_", " "),
                best=self._best,
                utterances_per_s=self._rate,
                seconds=time.monotonic() - self._began,
            )
        )


def notebook_display() -> Callable[[SearchProgress], object] | None:
    """What draws a bar in a notebook, and draws it anew at each event; None outside of one."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None or not hasattr(shell, "kernel"):
        return None
    from IPython.display import display

    handles: list[Any] = []

    def draw(progress: SearchProgress) -> None:
        if handles:
            handles[0].update(progress)
        else:
            handles.append(display(progress, display_id=True))

    return draw
