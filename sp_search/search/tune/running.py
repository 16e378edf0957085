"""A trial in flight, as the searcher keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import optuna

from sp_search.search.base.protocol import FACTS, VALID
from sp_search.search.base.result import TrialResult
from sp_search.search.base.settings import SearchSettings
from sp_search.search.study.trials import MEASURED, METRICS, REPORTS
from sp_search.types import Member, ParamValue


@dataclass
class Running:
    """A trial that was drawn and has not ended."""

    trial: optuna.Trial
    params: Mapping[str, ParamValue]
    seed: int
    reported: dict[int, float] = field(default_factory=dict)  # utterances seen -> the metric that decides
    reports: dict[str, list[int]] = field(default_factory=dict)  # as REPORTS has them
    metrics: dict[str, dict[str, float]] = field(default_factory=dict)  # as METRICS has them
    measured: dict[str, dict[str, float]] = field(default_factory=dict)  # as MEASURED has them
    found_full: int = 0  # how often the disk was, since its last report

    @property
    def number(self) -> int:
        """The trial's number in the study."""
        return self.trial.number

    @property
    def seen(self) -> int:
        """Utterances at the last report, or where valid was last measured since."""
        return max((*self.reported, *map(int, self.measured)), default=0)

    def report(self, seen: int, value: float, metrics: Mapping[str, float], place: list[int]) -> None:
        """Keep a report in the study: the metric that decides, all metrics, and its place as REPORTS has it."""
        self.reported[seen], self.metrics[str(seen)], self.reports[str(seen)] = value, dict(metrics), place
        self.found_full = 0
        self.trial.set_user_attr(METRICS, dict(self.metrics))
        self.trial.set_user_attr(REPORTS, dict(self.reports))  # before the report: one without its place has no order
        self.trial.report(value, seen)

    def measure(self, seen: int, metrics: Mapping[str, float]) -> None:
        """Keep what was measured between two reports, beside them: no sampler and no pruner is to see it."""
        self.measured[str(seen)] = dict(metrics)
        self.trial.set_user_attr(MEASURED, dict(self.measured))

    def result(self, settings: SearchSettings, last: Mapping[str, Any]) -> TrialResult:
        """The trial at its full budget, given its last Tune result."""
        metrics = {name.removeprefix(VALID): float(v) for name, v in last.items() if name.startswith(VALID)}
        decides = settings.metric.removeprefix(VALID)
        return TrialResult(
            number=self.number,
            member=Member(
                share=1.0,
                trial=self.number,
                seed=self.seed,
                params=self.params,
                budget=settings.budget,
                state=settings.trial_folder(self.number),
            ),
            metrics={"valid": metrics or {decides: self.reported[max(self.reported)]}},
            facts=dict(last.get(FACTS, ())),
        )
