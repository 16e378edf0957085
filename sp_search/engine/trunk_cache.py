"""Trunks kept in memory, between epochs and between evaluations, as many as fit; the others are computed again.

The batches of two epochs differ, so each source is kept by itself and a batch's trunk is put together from them.
A source is known by its units. It is causal: what is kept of a whole one serves the same source cut short.

B utterances   S source columns   n source rows of one utterance   L levels kept   H heads   d head width
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sp_search.engine.layout import SourceBlock
from sp_search.engine.trunk import Trunk, enter, run_trunk, source_mask, source_padding
from sp_search.engine.weights import FrozenWeights


@dataclass(frozen=True)
class _Kept:
    """One source's rows of a trunk."""

    columns: Tensor  # (L, 2, H, n, d): keys and values of every layer below the highest level
    states: dict[int, Tensor]  # level -> input of that layer, (n, D)
    levels: frozenset[int]

    @property
    def bytes(self) -> int:
        return sum(t.numel() * t.element_size() for t in (self.columns, *self.states.values()))

    def serves(self, levels: frozenset[int], rows: int) -> bool:
        """Whether a trunk of these levels with so many rows of the utterance can be made from it."""
        return levels <= self.levels and self.columns.shape[-2] >= rows


class TrunkCache:
    """Trunks by source. First come, first kept: every utterance returns once an epoch, so none is worth more."""

    def __init__(self, weights: FrozenWeights, limit_bytes: int) -> None:
        """Keep at most so many bytes; 0 keeps nothing."""
        self._weights = weights
        self._limit = limit_bytes
        self._kept: dict[bytes, _Kept] = {}
        self.bytes = 0

    def trunk(self, block: SourceBlock, sources: Sequence[npt.NDArray[np.int32]], levels: frozenset[int]) -> Trunk:
        """What `run_trunk` gives for a block that was laid out from these whole sources."""
        if not self._limit or max(levels) == 0:  # below layer 0 there is nothing but embeddings
            return run_trunk(self._weights, block, levels)
        rows = block.columns
        names = [source.tobytes() for source in sources]
        missing = [
            b
            for b, (name, n) in enumerate(zip(names, rows, strict=True))
            if name not in self._kept or not self._kept[name].serves(levels, n)
        ]
        known = [self._kept[names[b]].levels for b in missing if names[b] in self._kept]
        fresh: dict[int, _Kept] = {}
        if missing:
            part = block if len(missing) == len(rows) else block.take(missing)
            reached = levels.union(*known)  # else two kinds of trials would take turns to push out the other's rows
            computed = run_trunk(self._weights, part, reached)
            fresh = {b: _rows_of(computed, at, rows[b], reached) for at, b in enumerate(missing)}
            for b, entry in fresh.items():
                self._keep(names[b], entry)
            if part is block:
                return computed
        entries = [fresh[b] if b in fresh else self._kept[name] for b, name in enumerate(names)]
        return self._joined(block, entries, rows, levels)

    def _keep(self, name: bytes, entry: _Kept) -> None:
        before = self._kept[name].bytes if name in self._kept else 0
        if self.bytes - before + entry.bytes <= self._limit:
            self._kept[name] = entry
            self.bytes += entry.bytes - before

    @torch.no_grad()
    def _joined(
        self, block: SourceBlock, entries: Sequence[_Kept], rows: Sequence[int], levels: frozenset[int]
    ) -> Trunk:
        """One trunk of several utterances' rows, padded on the left as the block is."""
        below, width = max(levels), block.tokens.shape[1]
        _, two, heads, _, d = entries[0].columns.shape
        columns = entries[0].columns.new_zeros(below, two, len(entries), heads, width, d)
        states = {
            level: entries[0].states[level].new_zeros(len(entries), width, heads * d)
            for level in levels
            if level < self._weights.architecture.layers
        }
        for b, (entry, n) in enumerate(zip(entries, rows, strict=True)):
            columns[:, :, b, :, width - n :] = entry.columns[:below, :, :, :n]
            for level, state in states.items():
                state[b, width - n :] = entry.states[level][:n]
        trunk = Trunk(list(columns[:, 0]), list(columns[:, 1]), {}, source_padding(block, self._weights.dtype))
        mask = source_mask(block, self._weights.dtype)
        for level, state in states.items():
            key, value, trunk.entries[level] = enter(state, self._weights.layers[level], self._weights, mask)
            if level == below:
                trunk.keys.append(key)
                trunk.values.append(value)
        return trunk


def _rows_of(trunk: Trunk, row: int, count: int, levels: frozenset[int]) -> _Kept:
    """A copy of one row of a trunk, without its padding."""
    columns = [
        torch.stack([key[row, :, -count:], value[row, :, -count:]])
        for key, value in zip(trunk.keys[: max(levels)], trunk.values[: max(levels)], strict=True)
    ]
    states = {level: entry.state[row, -count:].clone() for level, entry in trunk.entries.items()}
    return _Kept(torch.stack(columns), states, levels)


def free_bytes(device: torch.device) -> int:
    """Memory that is free on a device: of the GPU, or of this machine (MemAvailable of Linux)."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines())
    return int(lines["MemAvailable"].split()[0]) * 1024
