"""An endless stream of training batches in which every batch is a pure function of seed and position.

Each epoch is a seeded shuffle, sorted by length inside stretches of many batches (so padding is small and a batch is
still a draw), with the order of its batches shuffled. A stream needs no state: a resumed trial names a position.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

STRETCH = 50
"""Batches sorted by length together: padding falls to about 2 %, and a batch still mixes a stretch's speakers."""


class BatchStream:
    """Batches of utterance numbers by position 0, 1, ...

    All batches are whole, so that updates and utterances seen count the same: what an epoch's shuffle leaves over,
    less than a batch, waits for a later epoch.
    """

    def __init__(self, lengths: npt.NDArray[np.int64], batch_size: int, seed: int) -> None:
        """Over utterances of these lengths; a batch is never larger than all of them."""
        self._lengths = lengths
        self._batch_size = min(batch_size, len(lengths))
        self._seed = seed
        self.batches_per_epoch = len(lengths) // self._batch_size
        self._epoch = lru_cache(maxsize=2)(self._make_epoch)

    def batch(self, position: int) -> npt.NDArray[np.int64]:
        """The utterances of the batch at a position."""
        epoch, at = divmod(position, self.batches_per_epoch)
        return self._epoch(epoch)[at]

    def _make_epoch(self, epoch: int) -> list[npt.NDArray[np.int64]]:
        draw = np.random.default_rng([self._seed, epoch])
        order = draw.permutation(len(self._lengths))[: self.batches_per_epoch * self._batch_size]
        stretch = STRETCH * self._batch_size
        batches = []
        for start in range(0, len(order), stretch):
            part = order[start : start + stretch]
            part = part[np.argsort(self._lengths[part], kind="stable")]
            batches += [part[at : at + self._batch_size] for at in range(0, len(part), self._batch_size)]
        return [batches[i] for i in draw.permutation(len(batches))]
