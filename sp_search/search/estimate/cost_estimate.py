"""The cost of a search before it runs: its space, its first trials, its rungs, its training.

How many trials ASHA promotes depends on the order in which good ones come. So the number is an estimate: the mean
over random orders, where each trial ranks the same at every rung, and the first trials, which are known to be good,
rank high. At most, all trials are promoted. How long the race lasts depends on how near the best settings are.
"""

from __future__ import annotations

import random
from bisect import insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sp_search.search.base.quantile import quantile
from sp_search.search.base.rungs import rungs
from sp_search.search.base.settings import SearchSettings
from sp_search.search.base.space import Range, Space, word
from sp_search.types import Params

DRAWS = 200
"""Random orders; an estimate is the mean over them."""

MOST_DRAWN = 1000
"""Trials in a random order. Of more, as large a share gets to each rung, and a million of them would take hours."""

GOOD = 0.8
"""The least rank of a first trial, 1 being the best. On recorded curves of the demo (`bench strategies`), searches of
24 trials, the first three of them known, trained 84,750 utterances on intents and 98,400 on keywords; it gives 74,500
and 111,700. Without first trials they trained 111,800 and 151,300; the estimate is 112,900 and 169,400.
"""

DRAWN = "drawn"
"""Stands for a value that the sampler will choose."""


@dataclass(frozen=True)
class RungEstimate:
    """A rung, or the full budget."""

    utterances: int  # that a trial has seen there
    trials: float  # estimated to get there


@dataclass(frozen=True)
class Plan:
    """A search of a new study."""

    ranges: Mapping[str, str]  # by parameter, for people
    first_trials: tuple[Mapping[str, Any], ...]  # as they will be trained, DRAWN where nothing is set
    points: tuple[RungEstimate, ...]
    search_utterances: int  # estimated, over all trials
    most_search_utterances: int  # where ASHA stops none
    confirm_utterances: int  # estimated: half of the runs between one round of the race and all
    most_confirm_utterances: int  # where none falls behind
    final_utterances: int  # of the winner's final training

    @property
    def utterances(self) -> tuple[int, int]:
        """Of everything, estimated and at most."""
        estimated = self.search_utterances + self.confirm_utterances
        most = self.most_search_utterances + self.most_confirm_utterances
        return estimated + self.final_utterances, most + self.final_utterances


@dataclass(frozen=True)
class Amounts:
    """How much a search trains, in utterances: estimated, and at most."""

    search: int
    most_search: int
    confirm: int
    most_confirm: int
    final: int


def amounts(settings: SearchSettings) -> Amounts:
    """The training of a new study; the same every time."""
    ends, reached = trials_at(settings)
    least, most = _confirm_runs(settings)
    return Amounts(
        search=round(sum((end - start) * n for start, end, n in zip((0, *ends), ends, reached, strict=False))),
        most_search=settings.trials * settings.budget,
        confirm=(least + most) // 2 * settings.budget,
        most_confirm=most * settings.budget,
        final=settings.final_seeds * settings.final_budget,
    )


def plan_search(settings: SearchSettings, space: Space) -> Plan:
    """The plan of a search; the same every time."""
    points = tuple(map(RungEstimate, *trials_at(settings)))
    amount = amounts(settings)
    return Plan(
        ranges={r.name: _shown(r) for r in space.ranges},
        first_trials=tuple(space.suggest(_Given(given)) for given in settings.first_trials[: settings.trials]),
        points=points,
        search_utterances=amount.search,
        most_search_utterances=amount.most_search,
        confirm_utterances=amount.confirm,
        most_confirm_utterances=amount.most_confirm,
        final_utterances=amount.final,
    )


def _confirm_runs(settings: SearchSettings) -> tuple[int, int]:
    """Runs of the race, at least and at most; there is none where one setting alone is to be trained on."""
    racing = min(settings.confirm_top, settings.trials)
    if not settings.final_seeds:
        return racing + settings.confirm_seeds - 1, racing * settings.confirm_seeds
    return (racing, racing * settings.confirm_seeds) if racing > 1 else (0, 0)


def draws(space: Space, count: int, seed: int, given: Sequence[Params] = ()) -> list[Params]:
    """Trials drawn uniformly from the whole space and independent of each other.

    Args:
        space: to draw from.
        count: of trials.
        seed: of the draws.
        given: what the first of them do not draw, a mapping a trial.
    """
    draw = random.Random(seed)
    known = [*given, *[{}] * (count - len(given))]
    return [space.suggest(_Chance(draw, of_trial)) for of_trial in known]


def trials_at(settings: SearchSettings) -> tuple[tuple[int, ...], list[float]]:
    """The rungs and the full budget in utterances, and the number of trials that are estimated to get there.

    Where no pruner stops trials, all get there. Any other pruner is taken for ASHA.
    """
    ends = (*rungs(settings.budget, settings.grace, settings.reduction_factor), settings.budget)
    if settings.pruner.name == "none":
        return ends, [float(settings.trials)] * len(ends)
    first = len(settings.first_trials)
    return ends, estimated_reach(settings.trials, len(ends), settings.reduction_factor, first)


def estimated_reach(trials: int, points: int, reduction_factor: int, first: int = 0) -> list[float]:
    """The number of trials that reach each point: the mean over random orders; so many first ones are known."""
    draw, drawn = random.Random(0), min(trials, MOST_DRAWN)
    found = [reach(drawn_ranks(drawn, first, draw), points, reduction_factor) for _ in range(DRAWS)]
    return [sum(counts) / DRAWS * (trials / drawn) for counts in zip(*found, strict=True)]


def drawn_ranks(trials: int, first: int, draw: random.Random) -> list[float]:
    """How good each trial is, 0 to 1; so many first ones are known to be good."""
    return [draw.uniform(GOOD, 1.0) if number < first else draw.random() for number in range(trials)]


def reach(values: Sequence[float], points: int, reduction_factor: int) -> list[int]:
    """The number of trials that reach each point by the rule of Ray's ASHA, for values that come one by one.

    A trial continues at a rung unless its value is below the top 1/reduction_factor of the values seen there before.
    """
    decided = Rungs(points, reduction_factor)
    for value in values:
        for rung in range(points):
            if not decided.goes_on(rung, value):
                break
    return [len(there) for there in decided.recorded]


class Rungs:
    """The rule of Ray's ASHA, for values that come one by one."""

    def __init__(self, rungs: int, reduction_factor: int) -> None:
        """Begin with empty rungs."""
        self.recorded: list[list[float]] = [[] for _ in range(rungs)]  # ascending
        self._top = 1 - 1 / reduction_factor

    def goes_on(self, rung: int, value: float) -> bool:
        """Record a value at a rung; whether its trial continues."""
        there = self.recorded[rung]
        found = not there or value >= quantile(there, self._top)
        insort(there, value)
        return found


def _shown(r: Range) -> str:
    conditions = [f"{name} is {' or '.join(map(word, values))}" for name, values in r.when]
    return r.shown + (f", when {' and '.join(conditions)}" if conditions else "")


class _Given:
    """Returns the given value of a parameter, or DRAWN where none is given."""

    def __init__(self, given: Params) -> None:
        self._given = given

    def suggest_int(self, name: str, low: int, high: int, *, log: bool) -> Any:
        return self._given.get(name, DRAWN)

    def suggest_float(self, name: str, low: float, high: float, *, log: bool) -> Any:
        return self._given.get(name, DRAWN)

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        return self._given.get(name, DRAWN)


class _Chance:
    """Draws uniformly what is not given, on a log scale where the range asks for it."""

    def __init__(self, draw: random.Random, given: Params) -> None:
        self._draw, self._given = draw, given

    def suggest_int(self, name: str, low: int, high: int, *, log: bool) -> Any:
        return self._given[name] if name in self._given else min(high, int(self._drawn(low, high + 1, log)))

    def suggest_float(self, name: str, low: float, high: float, *, log: bool) -> Any:
        return self._given[name] if name in self._given else self._drawn(low, high, log)

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        return self._given[name] if name in self._given else self._draw.choice(choices)

    def _drawn(self, low: float, high: float, log: bool) -> float:
        at = self._draw.random()
        return float(low * (high / low) ** at) if log else low + (high - low) * at
