"""Compares ways to search on recorded curves: what each has found after how many training utterances.

S seeds   T numbers of utterances
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from sp_search.bench.strategies.curves import Curve
from sp_search.bench.strategies.lookup import Lookup
from sp_search.bench.strategies.replay import Answer, replay
from sp_search.metrics.bootstrap import percentile_interval, resamples
from sp_search.search.base.settings import SearchSettings
from sp_search.search.base.space import Space

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Course:
    """What searches under many seeds have found after so many utterances."""

    utterances: Floats  # (T,), of all trials of a search together
    regret: Floats  # (S, T), of the metric on valid: how far the answer is below the best recorded curve
    test: Floats  # (S, T), the metric on test of the answer
    spent: Floats  # (S,), utterances of a search, which may end before the last of those moments

    def interval(self, column: Floats) -> tuple[float, float]:
        """The 95 % confidence interval of a mean over seeds, by bootstrap."""
        means = np.concatenate([column[drawn].mean(axis=1) for drawn in resamples(len(column), 2000, 0)])
        return percentile_interval(means, 0.95)

    @property
    def last_regret(self) -> float:
        """The mean regret at the last moment."""
        return float(self.regret.mean(axis=0)[-1])

    def reaches(self, regret: float) -> float | None:
        """The utterances after which the mean regret is at most this, and stays there; None if it never is."""
        above = np.flatnonzero(self.regret.mean(axis=0) > regret)
        first = 0 if len(above) == 0 else above[-1] + 1
        return None if first == len(self.utterances) else float(self.utterances[first])


def courses(
    strategies: Mapping[str, Sequence[SearchSettings]],
    space: Space,
    curves: Sequence[Curve],
    *,
    utterances: Sequence[float],
    processes: int,
) -> Iterator[tuple[str, Course]]:
    """Run every strategy under every seed; each comes with its name when its searches are done.

    Args:
        strategies: by name, the settings of its searches, one a seed.
        space: that the curves were drawn from.
        curves: one a setting.
        utterances: where searches are compared, ascending.
        processes: that run searches side by side.
    """
    best = max(curve.end for curve in curves)
    one = partial(_answers, utterances=utterances[-1])
    with ProcessPoolExecutor(processes, initializer=_learn, initargs=(curves, space)) as pool:
        for name, searches in strategies.items():
            yield name, course_of(list(pool.map(one, searches)), best, utterances)


_KNOWN: list[tuple[Lookup, Space]] = []
"""The curves of this process, with the space that they were drawn from."""


def _learn(curves: Sequence[Curve], space: Space) -> None:
    _KNOWN.append((Lookup(curves, space), space))


def _answers(settings: SearchSettings, utterances: float) -> tuple[list[Answer], float]:
    lookup, space = _KNOWN[-1]
    return replay(settings, space, lookup.of, utterances=utterances)


def course_of(of_seeds: Sequence[tuple[Sequence[Answer], float]], best: float, utterances: Sequence[float]) -> Course:
    """The answers of searches under S seeds, at T moments.

    Args:
        of_seeds: each search's answers, and the utterances that it took.
        best: the metric on valid of the best recorded curve.
        utterances: T, ascending.
    """
    at = [[_at(answers, moment) for moment in utterances] for answers, _ in of_seeds]
    regret = [[best - curve.end for curve in of_seed] for of_seed in at]
    test = [[curve.test or 0.0 for curve in of_seed] for of_seed in at]
    spent = np.array([spent for _, spent in of_seeds])
    return Course(np.array(utterances), np.array(regret), np.array(test), spent)


def _at(answers: Sequence[Answer], utterances: float) -> Curve:
    """The answer at a moment; before the first one, the first."""
    there = [answer.curve for answer in answers if answer.utterances <= utterances]
    return there[-1] if there else answers[0].curve
