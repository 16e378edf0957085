"""When a search stops asking for trials, so that it ends in order within its budget.

A budget of time, of device hours or of money comes to seconds on the clock, over all starts of the study. From them
the time is kept back that the race, the final training and the test need at the rate measured so far.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sp_search.search.base.settings import SearchSettings
from sp_search.types import Params, Report

MARGIN = 1.25
"""Times what one round of the race and the final training take: more rounds may follow, and then all is answered."""


class SearchLimits:
    """An observer that counts what was trained in this start, and says when the search is over."""

    def __init__(self, settings: SearchSettings, spent_s: Callable[[], float]) -> None:
        """Watch a search.

        Args:
            settings: its limits, and the sizes of what follows the trials.
            spent_s: seconds of all starts so far.
        """
        self._settings, self._spent_s = settings, spent_s
        self._began_s = spent_s()
        self._seen: dict[int, int] = {}
        self._trained = 0
        self._best, self._best_trial, self._ended_since = -math.inf, -1, 0

    def why_over(self) -> str:
        """In words, why no trial may begin or go on; empty as long as they may."""
        flat, wall = self._settings.flat, self._settings.wall_s
        if flat is not None and self._ended_since >= flat:
            return f"no better trial among the last {flat} (budget.flat)"
        if math.isfinite(wall) and self._spent_s() + self.reserve_s() >= wall:
            return f"the time left is for the race, the final training and the test (budget of {wall:,.0f} s)"
        return ""

    def reserve_s(self) -> float:
        """Seconds that what follows the trials takes at the rate measured so far; 0 before the first report."""
        if not self._trained:
            return 0.0
        settings = self._settings
        to_come = settings.confirm_top * settings.budget + settings.final_seeds * settings.final_budget
        return MARGIN * to_come * (self._spent_s() - self._began_s) / self._trained

    def study_opened(self, info: Mapping[str, Any]) -> None:
        """Nothing is counted yet."""

    def trial_started(self, number: int, params: Params, tags: Mapping[str, str]) -> None:
        """Count from its first report on: what it saw in an earlier start was paid then."""

    def reported(self, number: int, report: Report) -> None:
        """Count what was trained since the last report."""
        seen = report.utterances_seen
        before = self._seen.get(number, 0)
        self._trained += max(0, seen - before)
        self._seen[number] = max(seen, before)
        value = report.metrics.get(self._settings.metric, -math.inf)
        if value > self._best:
            self._best, self._best_trial, self._ended_since = value, number, 0

    def measured(self, number: int, report: Report) -> None:
        """Nothing to count: it decides nothing."""

    def trial_finished(self, number: int, state: str, reason: str, metrics: Mapping[str, float]) -> None:
        """Count the trials behind the best one's last improvement."""
        self._ended_since += number != self._best_trial

    def artifact(self, number: int | None, path: Path, artifact_path: str) -> None:
        """Nothing to count."""

    def table(self, artifact: str) -> None:
        """Nothing to count."""

    def study_finished(self, summary: Mapping[str, Any]) -> None:
        """Nothing to count."""

    def close(self, timeout_s: float) -> None:
        """Nothing to count."""
