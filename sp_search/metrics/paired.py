"""Which of two answerers is better, on the same utterances: their difference, and whether it can be told from chance.

N utterances   R draws of the bootstrap
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sp_search.metrics.bootstrap import DRAWS, LEVEL, SEED, percentile_interval, resamples
from sp_search.metrics.tally import Tally


@dataclass(frozen=True)
class Difference:
    """Ours less theirs of a metric that is better the larger, and its confidence interval."""

    value: float
    low: float
    high: float

    def verdict(self, rival: str) -> str:
        """In plain words: `beats n-grams by 0.021 (0.010 to 0.033)`, `is not told apart from n-grams: +0.004
        (...)`."""
        if self.low > 0:
            return f"beats {rival} by {self.value:.3f} ({self.low:.3f} to {self.high:.3f})"
        if self.high < 0:
            return f"is worse than {rival} by {-self.value:.3f} ({-self.high:.3f} to {-self.low:.3f})"
        return f"is not told apart from {rival}: {self.value:+.3f} ({self.low:.3f} to {self.high:.3f})"


def paired_difference(
    ours: Tally, theirs: Tally, *, level: float = LEVEL, draws: int = DRAWS, seed: int = SEED
) -> Difference:
    """The difference of a metric between two answerers, with a bootstrap over utterances that both share.

    Each draw takes the same utterances for both, so what is hard for both cancels out. Draws in which one has nothing
    to measure are left out.

    Args:
        ours: of the same N utterances, in the same order, as `theirs`.
        theirs: what is taken off.
        level: the share of draws inside, 0 < level < 1.
        draws: R, how often N utterances are drawn.
        seed: of the draws; the same seed gives the same interval.
    """
    assert len(ours.found) == len(theirs.found)
    sides = np.stack([ours.found, ours.total, theirs.found, theirs.total], axis=1)  # (N, 4)
    sums = np.concatenate([sides[drawn].sum(axis=1) for drawn in resamples(len(sides), draws, seed)])  # (R, 4)
    found, total, other_found, other_total = sums[(sums[:, 1] > 0) & (sums[:, 3] > 0)].T
    low, high = percentile_interval(found / total - other_found / other_total, level)
    return Difference(ours.value - theirs.value, low, high)
