"""A search on recorded curves: the project's own searcher and scheduler, with a clock of utterances.

All live trials train at the same pace, as those of a pack do; a report comes when the curve has one. Nothing is
trained, so a search takes a second.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import optuna
from optuna.storages import InMemoryStorage
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher

from sp_search.bench.strategies.curves import Curve
from sp_search.bench.strategies.recording import points_of
from sp_search.search.base.callbacks import Observers
from sp_search.search.base.protocol import METRIC, TIME, TrialRequest
from sp_search.search.base.settings import SearchSettings
from sp_search.search.base.space import Space
from sp_search.search.study.study import OpenStudy
from sp_search.search.tune.optuna_searcher import REQUEST, StudySearcher
from sp_search.search.tune.scheduler import NUMBER, ReplayedScheduler, ray_scheduler
from sp_search.types import Params


@dataclass
class _Live:
    """A trial in flight."""

    config: dict[str, Any]
    curve: Curve
    at: dict[int, float]  # report point -> the metric on valid
    seen: float = 0.0

    @property
    def request(self) -> TrialRequest:
        return cast(TrialRequest, self.config[REQUEST])

    @property
    def next_point(self) -> int:
        point = self.request.next_point(int(self.seen))
        assert point is not None
        return point


@dataclass(frozen=True)
class Answer:
    """What a search would answer with, from a moment on."""

    utterances: float  # that all trials have seen by then
    curve: Curve  # of the trial that is best so far: the one trained furthest, the best of those


@dataclass
class _Best:
    """The best trial so far."""

    key: tuple[float, float] = (0.0, -math.inf)
    answers: list[Answer] = field(default_factory=list)

    def see(self, utterances: float, seen: int, value: float, curve: Curve) -> None:
        if (seen, value) > self.key:
            self.key = (seen, value)
            self.answers.append(Answer(utterances, curve))


def replay(
    settings: SearchSettings, space: Space, curve_of: Callable[[Params], Curve], *, utterances: float
) -> tuple[list[Answer], float]:
    """Search until all trials together have seen so many utterances, or all trials have ended.

    Args:
        settings: of the search; its folder is not used.
        space: what is searched.
        curve_of: the recorded curve of a setting.
        utterances: at which the search ends.

    Returns:
        Each answer that was better than the one before, in time's order; and the utterances that all trials saw.
    """
    searcher, scheduler = _searcher(settings, space)
    live: dict[str, _Live] = {}
    best, spent = _Best(), 0.0
    names = (f"t{number}" for number in range(10**9))
    while True:
        for name, started in _started(searcher, settings, live, names, curve_of):
            live[name] = started
            scheduler.on_trial_add(None, _tune_trial(started))
        if not live or spent >= utterances:
            return best.answers, spent
        step = min(one.next_point - one.seen for one in live.values())
        spent += step * len(live)
        for one in live.values():
            one.seen += step
        for name in [name for name, one in live.items() if int(one.seen) in one.request.points]:
            if _reported(searcher, scheduler, name, live[name], best, spent):
                del live[name]


def _searcher(settings: SearchSettings, space: Space) -> tuple[StudySearcher, ReplayedScheduler]:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = InMemoryStorage()
    study = optuna.create_study(storage=storage, direction="maximize")
    inner = ray_scheduler(
        settings.pruner, budget=settings.budget, grace=settings.grace, reduction_factor=settings.reduction_factor
    )
    scheduler = ReplayedScheduler(inner, budget=settings.budget)
    opened = OpenStudy(study, storage, lock=None, begun_as={})
    searcher = StudySearcher(opened, space, settings, scheduler, Observers([]), keep=lambda finished: None)
    return searcher, scheduler


def _started(
    searcher: StudySearcher,
    settings: SearchSettings,
    live: dict[str, _Live],
    names: Iterator[str],
    curve_of: Callable[[Params], Curve],
) -> Iterator[tuple[str, _Live]]:
    """New trials, as long as a slot is free and the searcher has one."""
    while len(live) < settings.in_flight:
        name = next(names)
        config = searcher.suggest(name)
        if config is None or config == Searcher.FINISHED:
            return
        curve = curve_of(config[REQUEST].params)
        grid = points_of(settings.budget)
        yield (
            name,
            _Live(config, curve, {point: value for point, (_, value) in zip(grid, curve.points, strict=False)}),
        )


def _tune_trial(one: _Live) -> Any:
    """What a scheduler knows of a trial."""
    return SimpleNamespace(config={NUMBER: one.config[NUMBER]})


def _reported(
    searcher: StudySearcher, scheduler: ReplayedScheduler, name: str, one: _Live, best: _Best, spent: float
) -> bool:
    """Let a trial report, in the order of calls in which Tune does; returns whether it has ended."""
    seen = int(one.seen)
    value = one.at.get(seen, math.nan)
    diverged = "" if math.isfinite(value) else "the recorded loss is not finite"
    result = {TIME: seen, METRIC: value, "diverged": diverged}
    if not diverged:
        best.see(spent, seen, value, one.curve)
    decision = scheduler.on_trial_result(None, _tune_trial(one), result)
    if decision == TrialScheduler.STOP:
        searcher.on_trial_complete(name, result)
        return True
    searcher.on_trial_result(name, result)
    return False
