"""Aggregates of a study's reports: the best of each trial, the best of the study so far, utterances trained, counts.

They depend only on the events in order, so that a continued study goes on where the spool of the stopped one ends.
The x axis of the study's own curves is the number of utterances that all its trials together have seen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from sp_search.tracking.spool.jsonl_log import Event

_COUNTS = {"COMPLETE": "trials_complete", "PRUNED": "trials_pruned", "FAIL": "trials_failed"}


@dataclass
class _Trial:
    confirms: bool
    utterances_seen: int = 0
    best: float | None = None
    state: str = ""  # when it has ended
    last: Mapping[str, float] = field(default_factory=dict)


class StudyAggregates:
    """Aggregates the events of one study.

    Args:
        objective: the metric that defines the best, such as valid_accuracy.
        maximize: whether higher is better.
    """

    def __init__(self, objective: str, maximize: bool) -> None:
        self._objective, self._sign = objective, 1 if maximize else -1
        self._trials: dict[int, _Trial] = {}
        self._best: float | None = None
        self.utterances_seen = 0  # by all trials together
        self.counts = dict.fromkeys(_COUNTS.values(), 0)

    def started(self, number: int, role: str) -> None:
        """A trial begins, or goes on."""
        self._trials.setdefault(number, _Trial(confirms=role != "search"))

    def steps_of(self, number: int) -> int:
        """The number of utterances that a trial has seen."""
        return self._trials[number].utterances_seen

    def reported(
        self, number: int, utterances_seen: int, metrics: Mapping[str, float]
    ) -> tuple[dict[str, float], dict[str, float]] | None:
        """The points to record for the trial and for the study; None if this report was recorded before.

        A trial that continues from a checkpoint repeats its last stretch, and so its last reports.
        """
        trial = self._trials[number]
        if utterances_seen <= trial.utterances_seen:
            return None
        self._seen(trial, utterances_seen)
        trial.last = dict(metrics)
        own, study = dict(metrics), {}
        value = metrics.get(self._objective, math.nan)
        if self._better(value, trial.best):
            trial.best = own[f"best_{self._objective}"] = value
        if self._better(value, self._best) and not trial.confirms:
            self._best = study[f"running_best_{self._objective}"] = value
        return own, study

    def measured(
        self, number: int, utterances_seen: int, metrics: Mapping[str, float]
    ) -> tuple[dict[str, float], dict[str, float]] | None:
        """The points of what was measured between two reports: nothing of it is a best; None as for a report."""
        trial = self._trials[number]
        if utterances_seen <= trial.utterances_seen:
            return None
        self._seen(trial, utterances_seen)
        return dict(metrics), {}

    def finished(
        self, number: int, state: str, metrics: Mapping[str, float]
    ) -> tuple[dict[str, float], dict[str, float]]:
        """The points to record for the trial and for the study, without those of its last report."""
        trial = self._trials[number]
        trial.state = state
        own = {name: value for name, value in metrics.items() if trial.last.get(name) != value}
        if trial.confirms or state not in _COUNTS:
            return own, {}
        self.counts[_COUNTS[state]] += 1
        return own, {_COUNTS[state]: float(self.counts[_COUNTS[state]])}

    def of_full_budget(self) -> list[int]:
        """The trials that reached their full budget, the best first; runs under fresh seeds are none."""
        found = [
            (number, self._sign * trial.last.get(self._objective, -math.inf))
            for number, trial in self._trials.items()
            if trial.state == "COMPLETE" and not trial.confirms
        ]
        return [number for number, _ in sorted(found, key=lambda one: one[1], reverse=True)]

    def replay(self, event: Event) -> None:
        """Take in an event from the spool. The event that started its trial may be lost."""
        if event.number is None or event.kind not in ("trial_started", "reported", "measured", "trial_finished"):
            return
        self.started(event.number, event.data["tags"].get("sp_search.role", "search"))
        if event.kind == "reported":
            metrics = {name: float(value) for name, value in event.data["metrics"].items()}
            self.reported(event.number, event.data["step"], metrics)
        elif event.kind == "measured":
            self.measured(event.number, event.data["step"], {})
        elif event.kind == "trial_finished":
            self.finished(event.number, event.data["tags"]["sp_search.state"], {})

    def _seen(self, trial: _Trial, utterances: int) -> None:
        self.utterances_seen += utterances - trial.utterances_seen
        trial.utterances_seen = utterances

    def _better(self, value: float, than: float | None) -> bool:
        return not math.isnan(value) and (than is None or self._sign * value > self._sign * than)
