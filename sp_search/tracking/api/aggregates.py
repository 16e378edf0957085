"""What a study's reports add up to: a trial's best, the study's best so far, how much was trained, counts.

A pure function of the events in order, so that a continued study goes on where the spool of the stopped one ends.
The study's own points stand over the utterances that all its trials have seen together, which is what they cost.
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
    last: Mapping[str, float] = field(default_factory=dict)


class StudyAggregates:
    """Follows the events of one study.

    Args:
        objective: the metric that best means, such as valid_accuracy.
        maximize: whether more of it is better.
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
        """How many utterances a trial has seen."""
        return self._trials[number].utterances_seen

    def reported(
        self, number: int, utterances_seen: int, metrics: Mapping[str, float]
    ) -> tuple[dict[str, float], dict[str, float]] | None:
        """What to record for the trial and for the study; None where this point was told before.

        A trial that goes on from a checkpoint walks its last stretch again and tells the same points again.
        """
        trial = self._trials[number]
        if utterances_seen <= trial.utterances_seen:
            return None
        self.utterances_seen += utterances_seen - trial.utterances_seen
        trial.utterances_seen, trial.last = utterances_seen, dict(metrics)
        own, study = dict(metrics), {}
        value = metrics.get(self._objective, math.nan)
        if self._better(value, trial.best):
            trial.best = own[f"best_{self._objective}"] = value
        if self._better(value, self._best) and not trial.confirms:
            self._best = study[f"running_best_{self._objective}"] = value
        return own, study

    def finished(
        self, number: int, state: str, metrics: Mapping[str, float]
    ) -> tuple[dict[str, float], dict[str, float]]:
        """What to record for the trial and for the study; what the last report said already is left out."""
        trial = self._trials[number]
        own = {name: value for name, value in metrics.items() if trial.last.get(name) != value}
        if trial.confirms or state not in _COUNTS:
            return own, {}
        self.counts[_COUNTS[state]] += 1
        return own, {_COUNTS[state]: float(self.counts[_COUNTS[state]])}

    def replay(self, event: Event) -> None:
        """Follow an event from the spool, whose line that started the trial may be lost."""
        if event.number is None or event.kind not in ("trial_started", "reported", "trial_finished"):
            return
        self.started(event.number, event.data["tags"].get("sp_search.role", "search"))
        if event.kind == "reported":
            metrics = {name: float(value) for name, value in event.data["metrics"].items()}
            self.reported(event.number, event.data["step"], metrics)
        elif event.kind == "trial_finished":
            self.finished(event.number, event.data["tags"]["sp_search.state"], {})

    def _better(self, value: float, than: float | None) -> bool:
        return not math.isnan(value) and (than is None or self._sign * value > self._sign * than)
