"""A trial in flight, as the searcher keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import optuna

from sp_search.search.base.protocol import FACTS, VALID
from sp_search.search.base.result import TrialResult
from sp_search.search.base.settings import SearchSettings
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
    found_full: int = 0  # how often the disk was, since its last report

    @property
    def number(self) -> int:
        """The trial's number in the study."""
        return self.trial.number

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
