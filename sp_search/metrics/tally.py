"""A metric as two sums over utterances, so that it has a confidence interval: errors of words, hits of answers.

N utterances   R draws of the bootstrap
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sp_search.errors import DataError
from sp_search.metrics.bootstrap import DRAWS, LEVEL, SEED, percentile_interval, resamples

Counts = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Tally:
    """What was found and out of how much, utterance by utterance; the metric is the ratio of the two sums.

    An utterance may weigh nothing: words of an empty reference, slots where none is wanted.
    """

    found: Counts  # (N,), 0 or more; below 0 only in 1 - an error rate
    total: Counts  # (N,), 0 or more; in the sum above 0

    def __post_init__(self) -> None:
        assert self.found.shape == self.total.shape == (len(self.total),)
        if not self.total.sum() > 0:
            raise DataError(f"metric: expected something to measure in {len(self.total)} utterances, found nothing")

    @classmethod
    def of(cls, pairs: Sequence[tuple[float, float]]) -> Tally:
        """From (found, total) of each utterance."""
        found, total = np.array(pairs, dtype=np.float64).reshape(-1, 2).T
        return cls(found, total)

    @property
    def value(self) -> float:
        """The metric over all utterances."""
        return float(self.found.sum() / self.total.sum())

    def interval(self, *, level: float = LEVEL, draws: int = DRAWS, seed: int = SEED) -> tuple[float, float]:
        """The metric's confidence interval by bootstrap over utterances, which keep found and total together.

        Draws without anything to measure are left out.

        Args:
            level: the share of draws inside, 0 < level < 1.
            draws: R, how often N utterances are drawn.
            seed: of the draws; the same seed gives the same interval.

        Returns:
            (low, high), on the metric's own scale.
        """
        both = np.stack([self.found, self.total], axis=1)  # (N, 2)
        sums = np.concatenate([both[drawn].sum(axis=1) for drawn in resamples(len(both), draws, seed)])  # (R, 2)
        found, total = sums[sums[:, 1] > 0].T
        return percentile_interval(found / total, level)
