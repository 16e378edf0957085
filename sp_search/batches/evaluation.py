"""Utterances to answer, in batches as large as a pass may be: sorted by length, bounded by padded units."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt


def eval_batches(lengths: npt.NDArray[np.int64], tokens_per_batch: int) -> Iterator[npt.NDArray[np.int64]]:
    """Every utterance once, shortest first.

    Args:
        lengths: (N,), units.
        tokens_per_batch: most units of a batch, padding included; a longer utterance comes alone.
    """
    order = np.argsort(lengths, kind="stable")
    start = 0
    for end in range(1, len(order) + 1):
        full = end < len(order) and (end + 1 - start) * lengths[order[end]] > tokens_per_batch
        if full or end == len(order):
            yield order[start:end]
            start = end
