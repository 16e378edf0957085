"""How long a study was searched, over all of its starts: an observer that keeps it in the study.

A killed search loses the seconds since the last report alone, and what its workers had not told.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import optuna

from sp_search.types import Params, Report

SPENT = "spent"
"""The study's attribute: seconds of all starts (wall_s), of workers in the engine (trial_s) and alive (worker_s)."""

EVERY_S = 10.0


class TimeSpent:
    """Adds this start's time to that of the starts before."""

    def __init__(self, study: optuna.Study, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin to count."""
        self._study, self._clock = study, clock
        self._before = {"wall_s": 0.0, "trial_s": 0.0, "worker_s": 0.0} | study.user_attrs.get(SPENT, {})
        self._began = clock()
        self._kept_at = self._began

    def total(self, engine_s: float, worker_s: float) -> dict[str, float]:
        """What a summary says, given what workers tell of this start."""
        spent = self._spent(engine_s, worker_s)
        share = spent["trial_s"] / max(spent.pop("worker_s"), 1e-9)
        return {name: round(seconds, 3) for name, seconds in spent.items()} | {"engine_share": round(share, 4)}

    def wall_s(self) -> float:
        """Seconds of all starts until now."""
        return self._spent(0.0, 0.0)["wall_s"]

    def keep(self, engine_s: float = 0.0, worker_s: float = 0.0) -> None:
        """Write it into the study."""
        self._study.set_user_attr(SPENT, self._spent(engine_s, worker_s))
        self._kept_at = self._clock()

    def study_opened(self, info: Mapping[str, Any]) -> None:
        """Nothing to keep."""

    def trial_started(self, number: int, params: Params, tags: Mapping[str, str]) -> None:
        """Nothing to keep."""

    def reported(self, number: int, report: Report) -> None:
        """Keep it now and then."""
        if self._clock() - self._kept_at > EVERY_S:
            self.keep()

    def measured(self, number: int, report: Report) -> None:
        """Keep it now and then."""
        self.reported(number, report)

    def trial_finished(self, number: int, state: str, reason: str, metrics: Mapping[str, float]) -> None:
        """Nothing to keep."""

    def copied(self, number: int, state: str) -> None:
        """Nothing to keep."""

    def artifact(self, number: int | None, path: Path, artifact_path: str) -> None:
        """Nothing to keep."""

    def table(self, artifact: str) -> None:
        """Nothing to keep."""

    def study_finished(self, summary: Mapping[str, Any]) -> None:
        """The search itself keeps it then, with what its workers tell."""

    def close(self, timeout_s: float) -> None:
        """Nothing to keep: the last that was kept is at most some seconds old."""

    def _spent(self, engine_s: float, worker_s: float) -> dict[str, float]:
        now = {"wall_s": self._clock() - self._began, "trial_s": engine_s, "worker_s": worker_s}
        return {name: self._before[name] + seconds for name, seconds in now.items()}
