"""Ray's ASHA, with its rungs filled again from the study after a restart.

`Tuner.restore` never restores a scheduler, so a resumed search would promote the first trials of every rung again.
Here the study's reports are replayed through a new scheduler in their original order, before the first new trial.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ray.tune.schedulers import AsyncHyperBandScheduler, TrialScheduler

from sp_search.search.base.protocol import METRIC, TIME, PastReport

NUMBER = "number"
"""Key of a Tune trial's config: the number of the study's trial, which outlives Tune's own trial ids."""


@dataclass(frozen=True)
class _Known:
    """Stands for a trial in the rungs under its number in the study, so that a continued trial keeps its place."""

    trial_id: str


class Asha(AsyncHyperBandScheduler):
    """Asynchronous successive halving on the metric that decides by utterances seen (arXiv 1810.05934)."""

    def __init__(self, *, budget: int, grace: int, reduction_factor: int, past: Iterable[PastReport] = ()) -> None:
        """Make a scheduler in the state after these past reports, given in their original order."""
        super().__init__(
            time_attr=TIME,
            metric=METRIC,
            mode="max",
            max_t=budget,
            grace_period=grace,
            reduction_factor=reduction_factor,
        )
        self._added: set[str] = set()
        self._last: dict[int, str] = {}
        for report in past:
            self._replay(report)

    def stopped(self, number: int) -> bool:
        """Whether the last past report of a trial stopped it; a killed search may not have recorded that."""
        return self._last.get(number) == TrialScheduler.STOP

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Register a new or continued trial."""
        self._add(_known(trial))

    def on_trial_result(self, tune_controller: Any, trial: Any, result: Mapping[str, Any]) -> str:
        """Decide on a report: continue or stop."""
        return self._decide(_known(trial), result)

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: Mapping[str, Any]) -> None:
        """Count the last report of a trial that ran to its full budget."""
        known = _known(trial)
        if _is_finite(result) and known.trial_id in self._added:
            super().on_trial_complete(tune_controller, known, result)
            self._added.discard(known.trial_id)

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        """Forget a trial that ended without a result; its earlier reports stay in the rungs."""
        known = _known(trial)
        if known.trial_id in self._added:
            super().on_trial_remove(tune_controller, known)
            self._added.discard(known.trial_id)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Forget a trial that failed; its earlier reports stay in the rungs."""
        self.on_trial_remove(tune_controller, trial)

    def _add(self, known: _Known) -> None:
        super().on_trial_add(None, known)
        self._added.add(known.trial_id)

    def _replay(self, report: PastReport) -> None:
        known = _Known(_name(report.number))
        if known.trial_id not in self._added:
            self._add(known)
        self._last[report.number] = self._decide(known, {TIME: report.seen, METRIC: report.value})

    def _decide(self, known: _Known, result: Mapping[str, Any]) -> str:
        """Decide on one value. A trial without a finite value stops and is not counted in a rung."""
        if not _is_finite(result):
            return str(TrialScheduler.STOP)
        return str(super().on_trial_result(None, known, result))


def _known(trial: Any) -> _Known:
    return _Known(_name(trial.config[NUMBER]))


def _name(number: int) -> str:
    return f"trial-{number}"


def _is_finite(result: Mapping[str, Any]) -> bool:
    value = result.get(METRIC)
    return value is not None and math.isfinite(value)
