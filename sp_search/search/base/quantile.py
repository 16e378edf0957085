"""A quantile of a sorted list, without numpy."""

from __future__ import annotations

from collections.abc import Sequence


def quantile(ascending: Sequence[float], share: float) -> float:
    """Linear between neighbours, as numpy's percentile.

    Args:
        ascending: one value or more.
        share: 0 to 1.
    """
    at = (len(ascending) - 1) * share
    low = int(at)
    high = min(low + 1, len(ascending) - 1)
    return ascending[low] + (at - low) * (ascending[high] - ascending[low])
