"""When a search stops asking for trials, so that it ends in order within what it may spend.

Of time on the clock, of device hours and of money so much is kept back as the race, the final training and the test
need at the rate measured so far, with the workers that live now.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna

from sp_search.prices import HOUR_S
from sp_search.search.base.rungs import report_points
from sp_search.search.base.settings import SearchSettings
from sp_search.search.study.trials import MEASURED, TWIN_OF, past_reports
from sp_search.types import Params, Report

MARGIN = 1.25
"""Times what one round of the race and the final training take: more rounds may follow, and then all is answered."""


@dataclass(frozen=True)
class Spent:
    """What a study has spent, over all its starts."""

    wall_s: Callable[[], float]  # seconds on the clock
    device_s: Callable[[], Mapping[str, float]] = dict  # seconds of workers, by the kind of their node
    living: Callable[[], Mapping[str, int]] = dict  # workers that live now, by kind


@dataclass(frozen=True)
class _Share:
    """Of one thing that a search may spend."""

    name: str  # the setting, with its value
    most: float
    spent: float
    per_s: float  # what a second on the clock costs of it


@dataclass(frozen=True)
class _Told:
    """What a trial last told."""

    at_s: float = 0.0
    seen: int = 0  # utterances
    speed: float = 0.0  # utterances a second on the way there; 0 = not known, or the trial has ended


class SearchLimits:
    """An observer that counts what was trained in this start, and says when the search is over.

    A search that is over stays so: its live trials are stopped from then on.
    """

    def __init__(self, settings: SearchSettings, spent: Spent, study: optuna.Study | None = None) -> None:
        """Watch a search.

        Args:
            settings: its limits, and the sizes of what follows the trials.
            spent: by all starts so far.
            study: what earlier starts have left; None = nothing.
        """
        self._settings, self._spent, self._spent_s = settings, spent, spent.wall_s
        self._began_s = spent.wall_s()
        self._reason = ""
        self._started: set[int] = set()
        self._heard: set[int] = set()  # trials of this start that reported or ended
        self._told = {} if study is None else _told_before(study, self._began_s)
        self._trained = 0
        self._best, self._best_trial, self._ended_since = (-math.inf, -1, 0) if study is None else _flat_before(study)

    def why_over(self) -> str:
        """In words, why no trial may begin or go on; empty as long as they may. The first reason stays."""
        self._reason = self._reason or self._why_over_now()
        return self._reason

    @property
    def reason(self) -> str:
        """The last answer of `why_over`."""
        return self._reason

    def reserve_s(self) -> float:
        """Seconds that what follows the trials takes at the rate measured so far.

        0 until as many trials as run at once have reported: before, their training is not known.
        """
        if not self._trained or len(self._heard) < min(self._settings.in_flight, len(self._started)):
            return 0.0
        settings, now_s = self._settings, self._spent_s()
        to_come = settings.confirm_top * settings.budget + settings.final_seeds * settings.final_budget
        return MARGIN * to_come * (now_s - self._began_s) / (self._trained + self._untold(now_s))

    def study_opened(self, info: Mapping[str, Any]) -> None:
        """Nothing is counted yet."""

    def trial_started(self, number: int, params: Params, tags: Mapping[str, str]) -> None:
        """Count from now on: what it saw in an earlier start was paid then."""
        if not self._trained and self._started <= self._heard:  # Ray's start and the making of workers train nothing
            self._began_s = self._spent_s()
        self._started.add(number)
        self._told[number] = _Told(self._spent_s(), self._told.get(number, _Told()).seen)

    def reported(self, number: int, report: Report) -> None:
        """Count what was trained since the last report."""
        self._count(number, report.utterances_seen)
        self._heard.add(number)
        value = report.metrics.get(self._settings.metric, -math.inf)
        if value > self._best:
            self._best, self._best_trial, self._ended_since = value, number, 0

    def measured(self, number: int, report: Report) -> None:
        """Count what was trained; the value decides nothing."""
        self._count(number, report.utterances_seen)

    def trial_finished(self, number: int, state: str, reason: str, metrics: Mapping[str, float]) -> None:
        """Count the trials behind the best one's last improvement."""
        self._ended_since += number != self._best_trial
        self._heard.add(number)
        self._told[number] = _Told(self._spent_s(), self._told.get(number, _Told()).seen)

    def copied(self, number: int, state: str) -> None:
        """Nothing to count: nothing was trained."""

    def artifact(self, number: int | None, path: Path, artifact_path: str) -> None:
        """Nothing to count."""

    def table(self, artifact: str) -> None:
        """Nothing to count."""

    def study_finished(self, summary: Mapping[str, Any]) -> None:
        """Nothing to count."""

    def close(self, timeout_s: float) -> None:
        """Nothing to count."""

    def _why_over_now(self) -> str:
        flat = self._settings.spending.flat
        if flat is not None and self._ended_since >= flat:
            return f"no better trial among the last {flat} (budget.flat)"
        reserve_s = self.reserve_s()
        for share in self._shares():
            if share.spent + reserve_s * share.per_s >= share.most:
                return f"what is left of {share.name} is for the race, the final training and the test"
        return ""

    def _shares(self) -> Iterator[_Share]:
        """What is limited."""
        may, spent = self._settings.spending, self._spent
        if math.isfinite(may.wall_s):
            yield _Share(f"budget.wall={may.wall_s:g}s", may.wall_s, spent.wall_s(), 1.0)
        if math.isinf(may.device_h) and math.isinf(may.money):
            return
        used, living = spent.device_s(), spent.living()
        if math.isfinite(may.device_h):
            hours, workers = math.fsum(used.values()) / HOUR_S, sum(living.values())
            yield _Share(f"budget.device_hours={may.device_h:g}", may.device_h, hours, workers / HOUR_S)
        if math.isfinite(may.money) and may.prices is not None:
            yield _Share(f"budget.money={may.money:g}", may.money, may.prices.cost(used), may.prices.cost(living))

    def _count(self, number: int, seen: int) -> None:
        before, now_s = self._told.get(number, _Told(self._began_s)), self._spent_s()
        if seen <= before.seen:
            return
        self._trained += seen - before.seen
        self._told[number] = _Told(now_s, seen, (seen - before.seen) / max(now_s - before.at_s, 1e-9))

    def _untold(self, now_s: float) -> float:
        """Utterances that live trials have trained since they last told, each at its speed on the way there."""
        settings = self._settings
        points = report_points(settings.budget, settings.grace, settings.reduction_factor)
        return sum(
            min(told.speed * (now_s - told.at_s), next((p for p in points if p > told.seen), told.seen) - told.seen)
            for told in self._told.values()
            if told.speed
        )


def _told_before(study: optuna.Study, now_s: float) -> dict[int, _Told]:
    """How far the trials were in earlier starts."""
    trials = study.get_trials(deepcopy=False)
    seen = {
        t.number: max((*t.intermediate_values, *map(int, t.user_attrs.get(MEASURED, {}))), default=0) for t in trials
    }
    return {number: _Told(now_s, utterances) for number, utterances in seen.items()}


def _flat_before(study: optuna.Study) -> tuple[float, int, int]:
    """The best value of earlier starts, its trial, and how many others have ended behind that report.

    A trial ends at its last report. One that failed without a report counts where it began after the best one.
    """
    best, best_trial, improved_at = -math.inf, -1, -1
    last: dict[int, int] = {}  # trial -> the place of its last report
    for place, report in enumerate(past_reports(study)):
        last[report.number] = place
        if report.value > best:
            best, best_trial, improved_at = report.value, report.number, place
    ended = [t for t in study.get_trials(deepcopy=False) if t.state.is_finished() and TWIN_OF not in t.user_attrs]
    since = [t for t in ended if last.get(t.number, improved_at + (t.number > best_trial)) > improved_at]
    return best, best_trial, sum(trial.number != best_trial for trial in since)
