"""Ray's schedulers, filled again from the study after a restart.

`Tuner.restore` never restores a scheduler, so a resumed search would promote the first trials of every rung again.
Here the study's reports are replayed through a new scheduler in their original order, before the first new trial.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from ray.tune.experiment import Trial
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, MedianStoppingRule, TrialScheduler

from sp_search.search.base.choices import Choice
from sp_search.search.base.protocol import INTERIM, METRIC, TIME, PastReport

NUMBER = "number"
"""Key of a Tune trial's config: the number of the study's trial, which outlives Tune's own trial ids."""


@dataclass(frozen=True)
class _Known:
    """Stands for a trial in the rungs under its number in the study, so that a continued trial keeps its place."""

    trial_id: str
    number: int


def ray_scheduler(pruner: Choice, *, budget: int, grace: int, reduction_factor: int) -> TrialScheduler:
    """Ray's scheduler of a pruner, on the metric that decides by utterances seen. See `search.base.pruners`."""
    keys = {"time_attr": TIME, "metric": METRIC, "mode": "max", "grace_period": grace}
    if pruner.name == "none":
        return FIFOScheduler()
    if pruner.name == "median":  # with an endless time slice it never pauses a trial, which only Ray's own loop can
        return MedianStoppingRule(**keys, **pruner.settings, min_time_slice=math.inf)
    return AsyncHyperBandScheduler(**keys, max_t=budget, reduction_factor=reduction_factor, **pruner.settings)


class ReplayedScheduler(FIFOScheduler):
    """A scheduler of Ray that knows trials by their numbers and has seen the reports of earlier starts."""

    def __init__(
        self,
        inner: TrialScheduler,
        *,
        budget: int,
        past: Iterable[PastReport] = (),
        is_over: Callable[[], object] = lambda: False,
    ) -> None:
        """Put a new scheduler into the state after these past reports.

        Args:
            inner: decides between the first report and the budget.
            budget: utterances after which every trial stops.
            past: reports of earlier starts, in their original order.
            is_over: whether the search is over, so that every trial stops at its next report.
        """
        super().__init__()
        self._inner, self._budget, self._is_over = inner, budget, is_over
        self._added: set[_Known] = set()
        self._last: dict[int, str] = {}
        for report in past:
            self._replay(report)

    def stopped(self, number: int) -> bool:
        """Whether the last past report of a trial stopped it; a killed search may not have recorded that."""
        return self._last.get(number) == TrialScheduler.STOP

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        """The first trial that waits. Ray's own way looks through all trials that there ever were, at every step."""
        waiting = [trial for trial in tune_controller.get_live_trials() if trial.status == Trial.PENDING]
        return min(waiting, key=lambda trial: trial.config[NUMBER], default=None)

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Register a new or continued trial."""
        self._add(_known(trial))

    def on_trial_result(self, tune_controller: Any, trial: Any, result: Mapping[str, Any]) -> str:
        """Decide on a report: continue or stop. What was measured between two reports decides nothing."""
        if result.get(INTERIM):
            return str(TrialScheduler.CONTINUE)
        decision = self._decide(_known(trial), result)
        return str(TrialScheduler.STOP) if self._is_over() else decision

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: Mapping[str, Any]) -> None:
        """Do nothing: Tune asks for no decision on the report that ends a trial, and no rung is there."""

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        """Forget a trial that ended without a result; its earlier reports stay in the rungs."""
        known = _known(trial)
        if known in self._added:
            self._inner.on_trial_remove(None, known)
            self._added.discard(known)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Forget a trial that failed; its earlier reports stay in the rungs."""
        self.on_trial_remove(tune_controller, trial)

    def _add(self, known: _Known) -> None:
        with _numpy_seeded(known.number):
            self._inner.on_trial_add(None, known)
        self._added.add(known)

    def _replay(self, report: PastReport) -> None:
        known = _Known(f"trial-{report.number}", report.number)
        if known not in self._added:
            self._add(known)
        self._last[report.number] = self._decide(known, {TIME: report.seen, METRIC: report.value})

    def _decide(self, known: _Known, result: Mapping[str, Any]) -> str:
        """Decide on one value. A trial without a finite value stops and is not counted in a rung."""
        if not _is_finite(result):
            return str(TrialScheduler.STOP)
        decision = str(self._inner.on_trial_result(None, known, result))
        return str(TrialScheduler.STOP) if result[TIME] >= self._budget else decision


@contextmanager
def _numpy_seeded(seed: int) -> Iterator[None]:
    """Seed numpy's global generator for a while: Ray draws a trial's bracket from it, the same again on a restart."""
    before = np.random.get_state()
    np.random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(before)


def _known(trial: Any) -> _Known:
    number = trial.config[NUMBER]
    return _Known(f"trial-{number}", number)


def _is_finite(result: Mapping[str, Any]) -> bool:
    value = result.get(METRIC)
    return value is not None and math.isfinite(value)
