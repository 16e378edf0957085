"""The percentile bootstrap over utterances (Efron 1979; for error rates Bisani and Ney, ICASSP 2004).

N utterances   R draws of N utterances, with replacement
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

LEVEL, DRAWS, SEED = 0.95, 2000, 0
_AT_ONCE = 1 << 20  # utterances drawn in one go, for the memory's sake


def resamples(utterances: int, draws: int, seed: int) -> Iterator[npt.NDArray[np.int64]]:
    """Which utterances are drawn: (r, N) at a time, R rows in all, the same for the same seed."""
    random = np.random.default_rng(seed)
    step = max(1, _AT_ONCE // utterances)
    for done in range(0, draws, step):
        yield random.integers(utterances, size=(min(step, draws - done), utterances))


def percentile_interval(values: npt.NDArray[np.float64], level: float) -> tuple[float, float]:
    """(low, high) that hold the share `level` of a metric's values (R,), as much being left out below as above."""
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
