"""How long a search takes and what it leaves on the disk, from a few timed steps, before it runs.

The search is played through many times (`search.estimate.played`): trials whose values are drawn at random share the
workers under ASHA, then the race and the final training follow. Nothing of this decides anything in a search.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from sp_search.search.base.rungs import interim_points, report_points, rungs
from sp_search.search.base.settings import KEPT, SearchSettings
from sp_search.search.estimate.cost_estimate import Rungs, amounts, drawn_ranks, trials_at
from sp_search.search.estimate.played import Pace, Run, Stretch, play

MOST_DRAWS, LEAST_DRAWS, PLAYED_TRIALS = 100, 5, 4000
"""Searches that are played, and trials of all of them together at most."""

MEMBERS = 7
"""States of all answers that are measured at the end: one alone, and two ensembles of some three."""


PAGES_BYTES = 17_000_000
"""The report in the study, in its spool and in MLflow, and MLflow's database."""


@dataclass(frozen=True)
class Speed:
    """How fast a worker is."""

    drawn: Pace  # with trials drawn from the space
    best: Pace  # with settings such as those that win
    splits: tuple[float, float, float]  # what measuring a run on valid's sample, valid and test costs, in utterances
    weights: tuple[float, ...] = ()  # of the settings that `best` is the mean of: what a run of each costs, in it


@dataclass(frozen=True)
class Expected:
    """What a whole search takes."""

    seconds: float
    most_s: float  # where no trial is stopped, no setting leaves the race, and the slowest one wins it


def expected(settings: SearchSettings, speed: Speed, around_s: float) -> Expected:
    """How long a new study takes; the same every time for one speed.

    Args:
        settings: of the search.
        speed: of a worker.
        around_s: seconds that everything but workers takes: rivals, Ray, the report, MLflow.
    """
    count = max(LEAST_DRAWS, min(MOST_DRAWS, PLAYED_TRIALS // settings.trials))
    draw = random.Random(0)
    asha = settings.pruner.name != "none"
    searched = sum(_search_s(settings, speed, draw, asha=asha) for _ in range(count)) / count
    longest = _search_s(settings, speed, draw, asha=False)
    likely, most = _race_s(settings, speed)
    final, slowest = _final_s(settings, speed)
    behind = around_s + _answers_s(settings, speed)
    return Expected(searched + likely + final + behind, longest + most + slowest + behind)


def stored_bytes(settings: SearchSettings, state_bytes: int) -> int:
    """What a study leaves on the disk, with its files for MLflow.

    Args:
        settings: of the search.
        state_bytes: of a trial's saved state. A third of it is its prompt, which three places have.
    """
    found = amounts(settings)
    kept = min(KEPT, trials_at(settings)[1][-1])
    states = kept + found.confirm / settings.budget + settings.final_seeds
    prompts = kept + (MEMBERS if settings.most_members > 1 else 2)
    return round((states + prompts) * state_bytes) + PAGES_BYTES


def _search_s(settings: SearchSettings, speed: Speed, draw: random.Random, *, asha: bool) -> float:
    """Seconds of all trials."""
    values = drawn_ranks(settings.trials, len(settings.first_trials), draw)
    decided = Rungs(len(rungs(settings.budget, settings.grace, settings.reduction_factor)), settings.reduction_factor)
    at_rung = {point: i for i, point in enumerate(rungs(settings.budget, settings.grace, settings.reduction_factor))}
    points = report_points(settings.budget, settings.grace, settings.reduction_factor)

    def goes_on(run: Run) -> bool:
        rung = at_rung.get(points[run.at])
        return rung is None or decided.goes_on(rung, values[run.number])

    weights = [1.0] * settings.trials
    return _played(settings, speed.drawn, speed, weights, settings.budget, goes_on if asha else _always)


def _race_s(settings: SearchSettings, speed: Speed) -> tuple[float, float]:
    """Seconds of the race, likely and at most; there is none where one setting alone is to be trained on."""
    racing = min(settings.confirm_top, settings.trials)
    if racing == 1 and settings.final_seeds:
        return 0.0, 0.0
    whole = speed.splits[1] * speed.best.packed_s(settings.slots) / settings.workers
    weights = (*speed.weights, *[1.0] * racing)[:racing]
    first, alone = (
        len(of_runs) * whole + _played(settings, speed.best, speed, of_runs, settings.budget)
        for of_runs in (weights, (1.0,))
    )
    most = first * settings.confirm_seeds
    least = first if settings.final_seeds else first + (settings.confirm_seeds - 1) * alone
    return (least + most) / 2, most


def _final_s(settings: SearchSettings, speed: Speed) -> tuple[float, float]:
    """Seconds of the winner's final training: if it trains as fast as the mean of those that race, and if it is the
    slowest of them.
    """
    if not settings.final_seeds:
        return 0.0, 0.0
    mean, slowest = (
        _played(settings, speed.best, speed, [weight] * settings.final_seeds, settings.final_budget)
        for weight in (1.0, max(speed.weights, default=1.0))
    )
    return mean, slowest


def _answers_s(settings: SearchSettings, speed: Speed) -> float:
    """Seconds in which candidates answer valid, and what is chosen answers valid and test."""
    _, valid, test = speed.splits
    seeds = settings.final_seeds or settings.confirm_seeds
    measured = (seeds + (MEMBERS if settings.most_members > 1 else 1)) * (valid + test)
    candidates = KEPT + min(settings.confirm_top, settings.trials) + settings.final_seeds
    scored = candidates * valid if settings.most_members > 1 else 0.0
    return (measured + scored) * speed.best.packed_s(settings.slots) / settings.workers


def _played(
    settings: SearchSettings,
    pace: Pace,
    speed: Speed,
    weights: Sequence[float],
    budget: int,
    goes_on: Callable[[Run], bool] | None = None,
) -> float:
    stretches = _stretches(settings, speed, budget)
    made = [Run(number, stretches, weight) for number, weight in enumerate(weights)]
    return play(made, settings.workers, settings.slots, pace, goes_on or _always)


def _stretches(settings: SearchSettings, speed: Speed, budget: int) -> Sequence[Stretch]:
    points = report_points(budget, settings.grace, settings.reduction_factor)
    between = interim_points(points, settings.interim_cost)
    sample, whole, _ = speed.splits
    return [
        Stretch(end - start, sample * sum(start < at < end for at in between) + (whole if end == budget else sample))
        for start, end in pairwise((0, *points))
    ]


def _always(run: Run) -> bool:
    return True


def pace_of_rate(rate: float, workers: int) -> Pace:
    """Of a worker, where all of them together train so many utterances of trials a second."""
    return Pace(0.0, workers / rate)
