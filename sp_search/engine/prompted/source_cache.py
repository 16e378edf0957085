"""Caches source states between epochs and evaluations, as far as memory allows. Others are computed again.

The batches of two epochs differ, so each source is cached alone, under its units, and the states of a batch are put
together from its sources. The LM is causal, so the states of a whole source also serve a shortened one.

B utterances   S source columns   n rows of one source   L layers   H heads   G key/value heads   d head width
D embedding size
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sp_search.engine.batch.collate import SourceBatch
from sp_search.engine.prompted.source_states import (
    LayerEntry,
    SourceStates,
    embed_source,
    run_source,
    states_of_parts,
)
from sp_search.engine.transformer.folded_weights import FoldedWeights

ENOUGH = 0.8
"""The share of all sources whose keys and values must fit; otherwise layer inputs are cached instead.

Making keys and values from the layers' inputs takes a fifth of the time of running a source (0.85 of 3.9 ms for an
utterance of 57 rows at 6 x 256). So if fewer fit, caching the inputs of more sources saves more.
"""


@dataclass(frozen=True)
class _Parts:
    """The parts of a source that are cached."""

    columns: int  # layers, from the lowest up, with keys and values
    inputs: frozenset[int]  # layers above the lowest, with their input
    entries: frozenset[int] = frozenset()  # levels with the other tensors of their entry

    def __or__(self, other: _Parts) -> _Parts:
        return _Parts(max(self.columns, other.columns), self.inputs | other.inputs, self.entries | other.entries)


_NOTHING = _Parts(0, frozenset())


@dataclass(frozen=True)
class _CachedSource:
    """The cached rows of one source."""

    parts: _Parts  # those that it has
    columns: Tensor  # (L', 2, G, n, d): keys and values
    inputs: Mapping[int, Tensor]  # by layer, (n, D)
    entries: Mapping[int, tuple[Tensor, ...]]  # by level: query and mixed (n, H * d) and log_sum (n, H) of an entry

    @property
    def bytes(self) -> int:
        entered = (tensor for entry in self.entries.values() for tensor in entry)
        return sum(tensor.nbytes for tensor in (self.columns, *self.inputs.values(), *entered))

    def serves(self, wanted: _Parts, rows: int) -> bool:
        """Whether it has these parts for the first `rows` rows of the source."""
        return wanted | self.parts == self.parts and rows <= self.columns.shape[-2]


class SourceCache:
    """Source states by source. The first sources stay: each is used once per epoch, so all are worth the same.

    If the keys and values of too few sources would fit, the inputs of the layers are kept instead, which need less
    than half the memory, and keys and values are computed from them.
    """

    def __init__(self, weights: FoldedWeights, limit_bytes: int, *, rows: int) -> None:
        """Keep at most `limit_bytes` bytes (0 keeps nothing) of sources with `rows` rows in total."""
        self._weights = weights
        self.limit_bytes = limit_bytes
        architecture = weights.architecture
        itemsize = weights.dtype.itemsize
        row_bytes = 2 * architecture.layers * architecture.kv_width * itemsize
        entry_bytes = (architecture.embed_dim + 2 * architecture.query_width) * itemsize
        self._keeps_columns = ENOUGH * rows * row_bytes <= limit_bytes
        self._keeps_entries = rows * (row_bytes + entry_bytes + 4 * architecture.attention_heads) <= limit_bytes
        self._kept: dict[bytes, _CachedSource] = {}
        self.bytes = 0

    def states(
        self, block: SourceBatch, sources: Sequence[npt.NDArray[np.int32]], levels: frozenset[int]
    ) -> SourceStates:
        """The same as `run_source` for a block made from these whole sources."""
        wanted = self._wanted(levels)
        if not self.limit_bytes or wanted == _NOTHING:  # below layer 0 there are only embeddings
            return run_source(self._weights, block, levels)
        at = block.first_position.to_bytes(4)  # a learned position changes the states; see `MicrobatchKey`
        names = [at + source.tobytes() for source in sources]
        missing = [b for b, rows in enumerate(block.columns) if not self._has(names[b], wanted, rows)]
        found = {b: self._kept[name] for b, name in enumerate(names) if name in self._kept}
        if missing:
            computed, fresh = self._compute(block, names, missing, wanted, levels)
            if len(missing) == len(names):
                return computed
            found |= fresh
        return self._joined(block, [found[b] for b in range(len(names))], levels)

    def clear(self) -> None:
        """Drop all sources."""
        self._kept.clear()
        self.bytes = 0

    def keep_none(self) -> None:
        """Drop all sources, and keep none from now on."""
        self.clear()
        self.limit_bytes = 0

    def _compute(
        self,
        block: SourceBatch,
        names: Sequence[bytes],
        missing: Sequence[int],
        wanted: _Parts,
        levels: frozenset[int],
    ) -> tuple[SourceStates, dict[int, _CachedSource]]:
        """Run the missing utterances of a block, and cache them as far as they fit.

        Parts that are cached already are kept; otherwise two kinds of trials would replace each other's.

        Returns:
            The states of the missing utterances, and the cached source of each, by its number in the block.
        """
        parts = wanted
        for b in missing:
            if names[b] in self._kept:
                parts = parts | self._kept[names[b]].parts
        top = max(parts.columns - 1, *parts.inputs, 0)
        part = block if len(missing) == len(names) else block.take(missing)
        inputs: list[Tensor] = []
        computed = run_source(self._weights, part, levels | parts.entries | {top}, inputs)
        fresh = {}
        for at, b in enumerate(missing):
            fresh[b] = _rows_of(computed, inputs, at, block.columns[b], parts)
            self._keep(names[b], fresh[b])
        return computed, fresh

    def _wanted(self, levels: frozenset[int]) -> _Parts:
        """The parts that are needed for states with these levels."""
        layers, highest = len(self._weights.layers), max(levels)
        if not self._keeps_columns:
            return _Parts(0, frozenset(range(1, min(highest + 1, layers))))
        # The last layer has no entry to cache, but its keys and values: then only one row of its input is projected.
        entries = levels & frozenset(range(layers - 1)) if self._keeps_entries else frozenset()
        columns = layers if highest == layers - 1 else highest + (highest in entries)
        return _Parts(columns, levels & frozenset(range(1, layers)), entries)

    def _has(self, name: bytes, wanted: _Parts, rows: int) -> bool:
        return name in self._kept and self._kept[name].serves(wanted, rows)

    def _keep(self, name: bytes, source: _CachedSource) -> None:
        before = self._kept[name].bytes if name in self._kept else 0
        if self.bytes - before + source.bytes <= self.limit_bytes:
            self._kept[name] = source
            self.bytes += source.bytes - before

    @torch.no_grad()
    def _joined(self, block: SourceBatch, cached: Sequence[_CachedSource], levels: frozenset[int]) -> SourceStates:
        """The states of a block from those of its sources, with the block's padding on the left."""
        wanted, width = self._wanted(levels), block.tokens.shape[1]
        _, two, heads, _, d = cached[0].columns.shape
        columns = cached[0].columns.new_zeros(wanted.columns, two, len(cached), heads, width, d)
        state_width = self._weights.architecture.embed_dim
        inputs = {level: columns.new_zeros(len(cached), width, state_width) for level in wanted.inputs}
        entries = {
            level: [part.new_zeros(len(cached), width, part.shape[-1]) for part in cached[0].entries[level]]
            for level in wanted.entries
        }
        for b, (source, rows) in enumerate(zip(cached, block.columns, strict=True)):
            columns[:, :, b, :, width - rows :] = source.columns[: wanted.columns, :, :, :rows]
            for level, state in inputs.items():
                state[b, width - rows :] = source.inputs[level][:rows]
            for level, parts in entries.items():
                for part, kept in zip(parts, source.entries[level], strict=True):
                    part[b, width - rows :] = kept[:rows]
        inputs[0] = embed_source(self._weights, block)
        known = {level: LayerEntry(inputs[level], *parts) for level, parts in entries.items()}
        return states_of_parts(self._weights, block, levels, columns, inputs, known)


def _rows_of(states: SourceStates, inputs: Sequence[Tensor], row: int, count: int, parts: _Parts) -> _CachedSource:
    """A copy of one utterance's rows, without its padding; inputs are those of the layers.

    It is a copy, because a view would keep the whole batch in memory.
    """
    pairs = zip(states.keys[: parts.columns], states.values[: parts.columns], strict=True)
    columns = [torch.stack([key[row, :, -count:], value[row, :, -count:]]) for key, value in pairs]
    none = states.keys[0].new_empty(0, 2, *states.keys[0][row, :, -count:].shape)
    kept_inputs = {level: inputs[level][row, -count:].clone() for level in parts.inputs}
    entries = {}
    for level in parts.entries:
        entry = states.entries[level]
        entries[level] = tuple(part[row, -count:].clone() for part in (entry.query, entry.mixed, entry.log_sum))
    return _CachedSource(parts, torch.stack(columns) if columns else none, kept_inputs, entries)
