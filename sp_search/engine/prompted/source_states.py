"""The source as far up as no prompt reaches it: the same for all trials, without gradient (method.md, "Savings" 5).

B utterances   S source columns   R rows that are wanted above   L layers   H heads   d head width   D embedding size
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from sp_search.engine.batch.collate import SourceBatch
from sp_search.engine.transformer.attention import additive, attend
from sp_search.engine.transformer.decoder_layer import (
    finish_layer,
    merge_heads,
    project,
    project_columns,
    project_queries,
    split_columns,
    split_heads,
)
from sp_search.engine.transformer.folded_weights import FoldedWeights


@dataclass(frozen=True)
class LayerEntry:
    """The source where it enters the lowest prompted layer, and what it would take in there without a prompt.

    R = S, but in the last layer: above it only the row before `<s>` may be wanted, R = 1.
    """

    state: Tensor  # input of the layer, (B, R, D)
    query: Tensor  # (B, R, D)
    mixed: Tensor  # what its attention takes in of the source alone, (B, R, D)
    log_sum: Tensor  # of the exponentials of a row's scores on the source, (B, R, H), float32

    def part(self, rows: slice) -> LayerEntry:
        """Some of its B rows, a view."""
        return LayerEntry(self.state[rows], self.query[rows], self.mixed[rows], self.log_sum[rows])


@dataclass(frozen=True)
class SourceStates:
    """What rows above the trunk read of it."""

    keys: list[Tensor]  # of the layers up to the highest level asked for: (B, H, S, d)
    values: list[Tensor]  # the same
    entries: dict[int, LayerEntry]  # by level
    padding: Tensor  # (B, 1, 1, S), what is added to scores of tail rows on source columns

    def part(self, rows: slice) -> SourceStates:
        """Some of its B rows, a view."""
        return SourceStates(
            keys=[key[rows] for key in self.keys],
            values=[value[rows] for value in self.values],
            entries={level: entry.part(rows) for level, entry in self.entries.items()},
            padding=self.padding[rows],
        )


def source_levels(first_live_layers: Iterable[int | None], layers: int) -> frozenset[int]:
    """The levels a trunk must reach for trials of these lowest live layers; None, a source never reached, is L."""
    return frozenset(layers if level is None else level for level in first_live_layers)


@torch.no_grad()
def run_source(
    weights: FoldedWeights, block: SourceBatch, levels: frozenset[int], inputs: list[Tensor] | None = None
) -> SourceStates:
    """Run the source up to the highest of `source_levels`; inputs takes what enters each layer, (B, S, D)."""
    return run_source_with_gradient(weights, block, levels, inputs)


def run_source_with_gradient(
    weights: FoldedWeights, block: SourceBatch, levels: frozenset[int], inputs: list[Tensor] | None = None
) -> SourceStates:
    """What `run_source` gives, with the gradient that weights of a fine-tuned LM need."""
    highest = max(levels)
    mask = source_mask(block, weights.dtype)
    trunk = SourceStates([], [], {}, source_padding(block, weights.dtype))
    x = embed_source(weights, block)
    for level, layer in enumerate(weights.layers[: highest + 1]):
        if inputs is not None:
            inputs.append(x)
        if level in levels:
            key, value, trunk.entries[level] = enter(x, level, weights, mask, None)
        else:
            query, key, value = split_heads(project(x, layer), layer)  # (B, H, S, d)
        trunk.keys.append(key)
        trunk.values.append(value)
        if level < min(highest, len(weights.layers) - 1):
            is_entry = level in levels
            mixed = trunk.entries[level].mixed if is_entry else merge_heads(attend(query, [(key, value, mask)]))
            x = finish_layer(x, mixed, layer)
    return trunk


def source_of_parts(
    weights: FoldedWeights,
    block: SourceBatch,
    levels: frozenset[int],
    columns: Tensor,
    inputs: Mapping[int, Tensor],
    entries: Mapping[int, LayerEntry],
) -> SourceStates:
    """The trunk of a block from what `run_source` made on its way, without attention and feed-forward.

    Args:
        weights: the frozen LM.
        block: the sources.
        levels: `source_levels`.
        columns: keys and values of the lowest L' layers, (L', 2, B, H, S, d).
        inputs: by layer, what enters it, (B, S, D): of all levels, and of the layers below that columns lack.
        entries: of levels whose columns are there, R = S.
    """
    mask = source_mask(block, weights.dtype)
    trunk = SourceStates([], [], {}, source_padding(block, weights.dtype))
    for level, layer in enumerate(weights.layers[: max(levels) + 1]):
        if level in levels and level in entries:
            (key, value), trunk.entries[level] = columns[level], entries[level]
        elif level in levels:
            ready = (columns[level][0], columns[level][1]) if level < len(columns) else None
            key, value, trunk.entries[level] = enter(inputs[level], level, weights, mask, ready)
        elif level < len(columns):
            key, value = columns[level]
        else:
            key, value = split_columns(project_columns(inputs[level], layer), layer)
        trunk.keys.append(key)
        trunk.values.append(value)
    return trunk


def embed_source(weights: FoldedWeights, block: SourceBatch) -> Tensor:
    """What enters layer 0, (B, S, D)."""
    return weights.tokens[block.tokens] + weights.positions[block.positions]


def enter(
    x: Tensor, level: int, weights: FoldedWeights, mask: Tensor, columns: tuple[Tensor, Tensor] | None
) -> tuple[Tensor, Tensor, LayerEntry]:
    """Keys, values and the rest of a source in the lowest prompted layer.

    Args:
        x: what enters the layer, (B, S, D).
        level: the layer's number.
        weights: the LM's.
        mask: `source_mask`.
        columns: its keys and values (B, H, S, d), where they are at hand.
    """
    layer = weights.layers[level]
    asking = x[:, -1:] if level == len(weights.layers) - 1 else x  # (B, R, D)
    if asking is x and columns is None:
        query, key, value = split_heads(project(x, layer), layer)
    else:
        query = project_queries(asking, layer).unflatten(-1, (-1, weights.architecture.head_dim)).transpose(1, 2)
        key, value = columns or split_columns(project_columns(x, layer), layer)
    scores = query @ key.transpose(-1, -2) + mask[..., -asking.shape[1] :, :]  # (B, H, R, S)
    scores = scores.float()  # faster on a CPU than torch's bfloat16 kernels
    shares = scores.softmax(-1)
    log_sum = scores.amax(-1) - shares.amax(-1).log()  # both are of the same column
    mixed = shares.to(value.dtype) @ value
    return key, value, LayerEntry(asking, merge_heads(query), merge_heads(mixed), log_sum.transpose(1, 2))


def source_mask(block: SourceBatch, dtype: torch.dtype) -> Tensor:
    """What is added to scores of source rows on source columns, (B, 1, S, S)."""
    padded = block.is_padded
    columns = padded.shape[1]
    visible = torch.ones(columns, columns, dtype=torch.bool, device=padded.device).tril() & ~padded[:, None, :]
    visible |= torch.eye(columns, dtype=torch.bool, device=padded.device)  # a pad sees itself, else its row is NaN
    return additive(~visible, dtype)[:, None]


def source_padding(block: SourceBatch, dtype: torch.dtype) -> Tensor:
    """What is added to scores of tail rows on source columns, (B, 1, 1, S)."""
    return additive(block.is_padded, dtype)[:, None, None, :]
