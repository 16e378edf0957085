"""Equal error rate of a detector: one score an utterance, and whether the utterance is of the kind it looks for."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_curve

from sp_search.errors import DataError
from sp_search.metrics.bootstrap import DRAWS, LEVEL, SEED, percentile_interval, resamples

Scores = npt.NDArray[np.float64]


def eer(scores: Scores, wanted: npt.NDArray[np.bool_]) -> float:
    """Where a threshold on the scores misses as large a share of the wanted as it accepts of the others.

    Args:
        scores: (N,), higher is likelier to be wanted; any scale.
        wanted: (N,), what each is.

    Returns:
        The rate; between two thresholds it is read off the straight line through their points of the ROC curve.

    Raises:
        DataError: all are wanted, or none is.
    """
    if not 0 < wanted.sum() < len(wanted):
        raise DataError(f"eer: expected answers of both kinds, got {wanted.sum()} wanted of {len(wanted)}")
    accepted, found, _ = roc_curve(wanted, scores, drop_intermediate=False)  # (T,) each, both rising from 0 to 1
    return float(np.interp(0.0, accepted - (1 - found), accepted))


def eer_interval(
    scores: Scores, wanted: npt.NDArray[np.bool_], *, level: float = LEVEL, draws: int = DRAWS, seed: int = SEED
) -> tuple[float, float]:
    """The rate's confidence interval by bootstrap over utterances; draws of one kind alone are left out.

    Args:
        scores: (N,), as for `eer`; `wanted` too.
        wanted: (N,).
        level: the share of draws inside, 0 < level < 1.
        draws: how often N utterances are drawn.
        seed: of the draws; the same seed gives the same interval.

    Raises:
        DataError: all are wanted, or none is.
    """
    eer(scores, wanted)  # refuses what no draw could measure
    drawn = (row for rows in resamples(len(scores), draws, seed) for row in rows)
    rates = [eer(scores[row], wanted[row]) for row in drawn if 0 < wanted[row].sum() < len(row)]
    return percentile_interval(np.array(rates), level)


def eer_with_interval(scores: Scores, wanted: npt.NDArray[np.bool_]) -> dict[str, float | tuple[float, float] | None]:
    """The rate and its interval for a JSON; None where all are wanted, or none is."""
    if not 0 < wanted.sum() < len(wanted):
        return {"eer": None, "eer_interval": None}
    return {"eer": eer(scores, wanted), "eer_interval": eer_interval(scores, wanted)}
