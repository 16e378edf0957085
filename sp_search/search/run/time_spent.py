"""How long a study was searched, over all of its starts: an observer that keeps it in the study.

A killed search loses the seconds since the last report alone, and what its workers had not told of the engine.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import optuna

from sp_search.types import Params, Report

SPENT = "spent"
"""The study's attribute, in seconds of all starts: on the clock (wall_s); of workers in the engine (trial_s) and
alive meanwhile (worker_s), as they told at the end; of all that lived, by the kind of their node (device_s).
"""

EVERY_S = 10.0


class TimeSpent:
    """Adds this start's time to that of the starts before."""

    def __init__(
        self,
        study: optuna.Study,
        clock: Callable[[], float] = time.monotonic,
        device_now: Callable[[], Mapping[str, float]] = dict,
    ) -> None:
        """Begin to count.

        Args:
            study: keeps it.
            clock: seconds.
            device_now: seconds of the workers of this start, by the kind of their node.
        """
        self._study, self._clock, self._device_now = study, clock, device_now
        self._before: dict[str, Any] = {"wall_s": 0.0, "trial_s": 0.0, "worker_s": 0.0, "device_s": {}}
        self._before |= study.user_attrs.get(SPENT, {})
        self._began = clock()
        self._kept_at = self._began

    def total(self, engine_s: float, worker_s: float) -> dict[str, Any]:
        """What a summary says, given what workers tell of this start."""
        spent = self._spent(engine_s, worker_s)
        return {
            "wall_s": round(spent["wall_s"], 3),
            "trial_s": round(spent["trial_s"], 3),
            "device_s": {kind: round(seconds, 3) for kind, seconds in spent["device_s"].items()},
            "engine_share": round(spent["trial_s"] / max(spent["worker_s"], 1e-9), 4),
        }

    def wall_s(self) -> float:
        """Seconds of all starts until now."""
        return float(self._before["wall_s"] + self._clock() - self._began)

    def device_s(self) -> Mapping[str, float]:
        """Seconds of the workers of all starts until now, by the kind of their node."""
        before, now = self._before["device_s"], self._device_now()
        return {kind: before.get(kind, 0.0) + now.get(kind, 0.0) for kind in {**before, **now}}

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

    def _spent(self, engine_s: float, worker_s: float) -> dict[str, Any]:
        return {
            "wall_s": self.wall_s(),
            "trial_s": self._before["trial_s"] + engine_s,
            "worker_s": self._before["worker_s"] + worker_s,
            "device_s": dict(self.device_s()),
        }
