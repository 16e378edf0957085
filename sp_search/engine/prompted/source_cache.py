"""Trunks kept in memory, between epochs and between evaluations, as many as fit; the others are computed again.

The batches of two epochs differ, so each source is kept by itself and a batch's trunk is put together from them.
A source is known by its units. It is causal: what is kept of a whole one serves the same source cut short.

B utterances   S source columns   n rows of one source   L layers   H heads   d head width   D embedding size
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
    source_of_parts,
)
from sp_search.engine.transformer.folded_weights import FoldedWeights

ENOUGH = 0.8
"""Share of all sources of which keys and values must fit to be kept. Made of the layers' inputs they cost a fifth of
a trunk (0.85 of 3.9 ms an utterance of 57 rows at 6 x 256), so where fewer fit, inputs of more sources save more."""


@dataclass(frozen=True)
class _Needs:
    """What a source's trunk is put together from."""

    columns: int  # layers, from the lowest up, of which keys and values are kept
    inputs: frozenset[int]  # layers above the lowest of which what enters them is kept
    entries: frozenset[int] = frozenset()  # levels of which the rest of their entry is kept as well

    def __or__(self, other: _Needs) -> _Needs:
        return _Needs(max(self.columns, other.columns), self.inputs | other.inputs, self.entries | other.entries)


_NOTHING = _Needs(0, frozenset())


@dataclass(frozen=True)
class _CachedSource:
    """One source's rows of a trunk."""

    needs: _Needs  # that it meets
    columns: Tensor  # (L', 2, H, n, d): keys and values
    inputs: Mapping[int, Tensor]  # by layer, (n, D)
    entries: Mapping[int, tuple[Tensor, ...]]  # by level, an Entry's query and mixed (n, D) and log_sum (n, H)

    @property
    def bytes(self) -> int:
        entered = (tensor for entry in self.entries.values() for tensor in entry)
        return sum(tensor.nbytes for tensor in (self.columns, *self.inputs.values(), *entered))

    def serves(self, needs: _Needs, rows: int) -> bool:
        """Whether a trunk with so many rows of the source can be put together from it."""
        return needs | self.needs == self.needs and rows <= self.columns.shape[-2]


class SourceCache:
    """Trunks by source. First come, first kept: every utterance returns once an epoch, so none is worth more.

    Where keys and values of too few sources would fit, what enters the layers is kept instead, in less than half the
    memory, and keys and values are made of it again.
    """

    def __init__(self, weights: FoldedWeights, limit_bytes: int, *, rows: int) -> None:
        """Keep at most so many bytes, 0 keeps nothing, of sources that have so many rows in all."""
        self._weights = weights
        self._limit = limit_bytes
        architecture = weights.architecture
        state_bytes = architecture.embed_dim * weights.dtype.itemsize
        row_bytes = 2 * architecture.layers * state_bytes
        self._keeps_columns = ENOUGH * rows * row_bytes <= limit_bytes
        self._keeps_entries = rows * (row_bytes + 3 * state_bytes + 4 * architecture.attention_heads) <= limit_bytes
        self._kept: dict[bytes, _CachedSource] = {}
        self.bytes = 0

    def trunk(
        self, block: SourceBatch, sources: Sequence[npt.NDArray[np.int32]], levels: frozenset[int]
    ) -> SourceStates:
        """What `run_source` gives for a block that was laid out from these whole sources."""
        needs = self._needs(levels)
        if not self._limit or needs == _NOTHING:  # below layer 0 there is nothing but embeddings
            return run_source(self._weights, block, levels)
        names = [source.tobytes() for source in sources]
        missing = [b for b, n in enumerate(block.columns) if not self._has(names[b], needs, n)]
        fresh: dict[int, _CachedSource] = {}
        if missing:
            part = block if len(missing) == len(names) else block.take(missing)
            for b in missing:  # what is there stays, else two kinds of trials would push out the other's by turns
                needs = needs | self._kept[names[b]].needs if names[b] in self._kept else needs
            inputs: list[Tensor] = []
            asked = levels | needs.entries | {max(needs.columns, *needs.inputs, 0)}
            computed = run_source(self._weights, part, asked, inputs)
            for at, b in enumerate(missing):
                fresh[b] = _rows_of(computed, inputs, at, block.columns[b], needs)
                self._keep(names[b], fresh[b])
            if part is block:
                return computed
        entries = [fresh[b] if b in fresh else self._kept[name] for b, name in enumerate(names)]
        return self._joined(block, entries, levels)

    def _needs(self, levels: frozenset[int]) -> _Needs:
        layers, highest = len(self._weights.layers), max(levels)
        if self._keeps_columns:  # the last layer's are worth it too: of its inputs one row alone is projected
            entered = levels & frozenset(range(layers - 1)) if self._keeps_entries else frozenset()
            columns = layers if highest == layers - 1 else highest + (highest in entered)
            return _Needs(columns, levels & frozenset(range(1, layers)), entered)
        return _Needs(0, frozenset(range(1, min(highest + 1, layers))))

    def _has(self, name: bytes, needs: _Needs, rows: int) -> bool:
        return name in self._kept and self._kept[name].serves(needs, rows)

    def _keep(self, name: bytes, entry: _CachedSource) -> None:
        before = self._kept[name].bytes if name in self._kept else 0
        if self.bytes - before + entry.bytes <= self._limit:
            self._kept[name] = entry
            self.bytes += entry.bytes - before

    @torch.no_grad()
    def _joined(self, block: SourceBatch, entries: Sequence[_CachedSource], levels: frozenset[int]) -> SourceStates:
        """One trunk of several sources' rows, padded on the left as the block is."""
        needs, width = self._needs(levels), block.tokens.shape[1]
        _, two, heads, _, d = entries[0].columns.shape
        columns = entries[0].columns.new_zeros(needs.columns, two, len(entries), heads, width, d)
        inputs = {level: columns.new_zeros(len(entries), width, heads * d) for level in needs.inputs}
        entered = {
            level: [part.new_zeros(len(entries), width, part.shape[-1]) for part in entries[0].entries[level]]
            for level in needs.entries
        }
        for b, (entry, n) in enumerate(zip(entries, block.columns, strict=True)):
            columns[:, :, b, :, width - n :] = entry.columns[: needs.columns, :, :, :n]
            for level, state in inputs.items():
                state[b, width - n :] = entry.inputs[level][:n]
            for level, parts in entered.items():
                for part, kept in zip(parts, entry.entries[level], strict=True):
                    part[b, width - n :] = kept[:n]
        inputs[0] = embed_source(self._weights, block)
        ready = {level: LayerEntry(inputs[level], *parts) for level, parts in entered.items()}
        return source_of_parts(self._weights, block, levels, columns, inputs, ready)


def _rows_of(trunk: SourceStates, inputs: Sequence[Tensor], row: int, count: int, needs: _Needs) -> _CachedSource:
    """A copy of one row of a trunk, without its padding; inputs: what entered its layers."""
    pairs = zip(trunk.keys[: needs.columns], trunk.values[: needs.columns], strict=True)
    columns = [torch.stack([key[row, :, -count:], value[row, :, -count:]]) for key, value in pairs]
    none = trunk.keys[0].new_empty(0, 2, *trunk.keys[0][row, :, -count:].shape)
    states = {level: inputs[level][row, -count:].clone() for level in needs.inputs}
    entries = {}
    for level in needs.entries:
        entry = trunk.entries[level]
        entries[level] = tuple(part[row, -count:].clone() for part in (entry.query, entry.mixed, entry.log_sum))
    return _CachedSource(needs, torch.stack(columns) if columns else none, states, entries)
