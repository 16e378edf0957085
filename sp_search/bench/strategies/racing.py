"""Races on recorded runs: what is lost, and what is saved, when settings leave early.

A race is drawn again and again: some of the settings that were trained under several seeds, with their runs in random
order. Beside it stands the choice by all runs, where every setting gets all its seeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sp_search.bench.strategies.curves import Curve
from sp_search.search.run.race import rounds, survivors


@dataclass(frozen=True)
class RaceResult:
    """Means over all races drawn."""

    behind: float | None  # standard errors after which a setting leaves; None = one round decides
    test: float  # the metric on test of the setting that wins, mean of all its recorded runs
    test_of_all: float  # the same of the setting that all runs choose
    wrong: float  # share of races that choose another setting than all runs do
    runs: float  # runs made, as a share of all


def race_results(
    runs: Mapping[int, Sequence[Curve]], *, settings: int, seeds: int, races: int, behind: Sequence[float | None]
) -> list[RaceResult]:
    """Draw races, the same for every threshold.

    Args:
        runs: curves that keep their tallies, by setting; settings with fewer than `seeds` are left out.
        settings: in a race.
        seeds: runs of each setting at most.
        races: how many are drawn.
        behind: thresholds, in standard errors; None is one round, behind which nobody is run again.
    """
    enough = {number: of_setting for number, of_setting in runs.items() if len(of_setting) >= seeds}
    test = {number: float(np.mean([run.test or 0.0 for run in of_setting])) for number, of_setting in enough.items()}
    random = np.random.default_rng(0)
    drawn = [
        {
            int(number): [enough[int(number)][i] for i in random.permutation(len(enough[int(number)]))[:seeds]]
            for number in random.choice(sorted(enough), size=settings, replace=False)
        }
        for _ in range(races)
    ]
    return [_result(drawn, test, threshold) for threshold in behind]


def _result(
    drawn: Sequence[Mapping[int, Sequence[Curve]]], test: Mapping[int, float], behind: float | None
) -> RaceResult:
    chosen, by_all, made = [], [], []
    for race in drawn:
        winner, count = _after_one_round(race) if behind is None else _raced(race, behind)
        chosen.append(winner)
        by_all.append(max(race, key=lambda number: float(np.mean([run.tally.value for run in race[number]]))))
        made.append(count / sum(map(len, race.values())))
    return RaceResult(
        behind=behind,
        test=float(np.mean([test[number] for number in chosen])),
        test_of_all=float(np.mean([test[number] for number in by_all])),
        wrong=float(np.mean([one != other for one, other in zip(chosen, by_all, strict=True)])),
        runs=float(np.mean(made)),
    )


def _after_one_round(race: Mapping[int, Sequence[Curve]]) -> tuple[int, int]:
    """The winner by one fresh run of each setting and one more, which stands for the trial of the search."""
    return max(race, key=lambda number: sum(run.tally.value for run in race[number][:2])), len(race)


def _raced(race: Mapping[int, Sequence[Curve]], behind: float) -> tuple[int, int]:
    """The winner of a race, and the runs that it took."""
    left, made = list(race), 0
    for repeats in rounds(len(next(iter(race.values())))):
        if len(left) == 1:
            break
        made += len(left) * len(repeats)
        tallies = {number: [run.tally for run in race[number][: repeats.stop - 1]] for number in left}
        left = survivors(tallies, behind)
        means = {number: float(np.mean([tally.value for tally in tallies[number]])) for number in left}
    return max(left, key=lambda number: means[number]), made
