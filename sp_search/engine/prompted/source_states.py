"""Runs the source up to the lowest prompted layer: it is the same for all trials, and has no gradient (method.md,
"Savings" 5).

B utterances   S source columns   R rows that continue   L layers   H heads   G key/value heads   d head width
D embedding size
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from sp_search.engine.batch.collate import FIRST_POSITION, SourceBatch
from sp_search.engine.transformer.attention import additive, attend, product
from sp_search.engine.transformer.decoder_layer import (
    merge_heads,
    project,
    project_columns,
    project_queries,
    run_layers,
    split_heads,
)
from sp_search.engine.transformer.embedding import embed
from sp_search.engine.transformer.folded_weights import FoldedWeights
from sp_search.engine.transformer.rotary import Rotation, last_rows, rotation_at


@dataclass(frozen=True)
class LayerEntry:
    """The source at the lowest prompted layer: its input, and the results of its attention without a prompt.

    R = S; in the last layer R = 1, because only the row before `<s>` can be scored there.
    """

    state: Tensor  # input of the layer, (B, R, D)
    query: Tensor  # (B, R, H * d)
    mixed: Tensor  # the attention output over the source alone, (B, R, H * d)
    log_sum: Tensor  # of the exponentials of a row's scores on the source, (B, R, H), float32

    def part(self, rows: slice) -> LayerEntry:
        """Some of its B rows, a view."""
        return LayerEntry(self.state[rows], self.query[rows], self.mixed[rows], self.log_sum[rows])


@dataclass(frozen=True)
class SourceStates:
    """The states of a batch's source without any prompt, up to the layers that trials need."""

    keys: list[Tensor]  # of the layers up to the highest level: (B, G, S, d)
    values: list[Tensor]  # the same
    entries: dict[int, LayerEntry]  # by level
    padding: Tensor  # (B, 1, 1, S), to add to the scores of target rows on source columns

    def part(self, rows: slice) -> SourceStates:
        """Some of its B rows, a view."""
        return SourceStates(
            keys=[key[rows] for key in self.keys],
            values=[value[rows] for value in self.values],
            entries={level: entry.part(rows) for level, entry in self.entries.items()},
            padding=self.padding[rows],
        )


def source_levels(first_live_layers: Iterable[int | None], layers: int) -> frozenset[int]:
    """The levels of the entries for trials with these lowest live layers; None (no live layer) counts as L."""
    return frozenset(layers if level is None else level for level in first_live_layers)


@torch.no_grad()
def run_source(
    weights: FoldedWeights, block: SourceBatch, levels: frozenset[int], inputs: list[Tensor] | None = None
) -> SourceStates:
    """Run the source up to the highest of `source_levels`; inputs is filled with every layer's input, (B, S, D)."""
    return run_source_with_gradient(weights, block, levels, inputs)


def run_source_with_gradient(
    weights: FoldedWeights, block: SourceBatch, levels: frozenset[int], inputs: list[Tensor] | None = None
) -> SourceStates:
    """The same as `run_source`, with gradients for the weights of a fine-tuned LM."""
    top = min(max(levels), len(weights.layers) - 1)  # the highest layer whose keys and values are needed
    mask, rotation = source_mask(block, weights.dtype), source_rotation(weights, block)
    states = SourceStates([], [], {}, source_padding(block, weights.dtype))

    def add_columns(x: Tensor, level: int) -> Tensor | None:
        """Add a layer's keys and values, and its entry if the layer is one of the levels; else return its queries."""
        query: Tensor | None = None
        if level in levels:
            key, value, states.entries[level] = enter(x, level, weights, mask, rotation, None)
        else:
            layer = weights.layers[level]
            query, key, value = split_heads(project(x, layer), layer, rotation)  # (B, H or G, S, d)
        states.keys.append(key)
        states.values.append(value)
        if inputs is not None:
            inputs.append(x)
        return query

    def attend_to_source(x: Tensor, level: int) -> tuple[Tensor, Tensor]:
        query = add_columns(x, level)
        if query is None:
            return x, states.entries[level].mixed
        return x, merge_heads(attend(query, [(states.keys[level], states.values[level], mask)]))

    below_top = run_layers(embed_source(weights, block), weights.layers[:top], attend_to_source)
    add_columns(below_top, top)
    return states


def states_of_parts(
    weights: FoldedWeights,
    block: SourceBatch,
    levels: frozenset[int],
    columns: Tensor,
    inputs: Mapping[int, Tensor],
    entries: Mapping[int, LayerEntry],
) -> SourceStates:
    """The states of a block from intermediate results of `run_source`, without attention and feed-forward.

    Args:
        weights: the frozen LM.
        block: the sources.
        levels: `source_levels`.
        columns: keys and values of the lowest L' layers, (L', 2, B, G, S, d).
        inputs: by layer, its input (B, S, D): of all levels, and of layers below them that have no columns.
        entries: of the levels that have columns, R = S.
    """
    mask, rotation = source_mask(block, weights.dtype), source_rotation(weights, block)
    states = SourceStates([], [], {}, source_padding(block, weights.dtype))
    for level, layer in enumerate(weights.layers[: max(levels) + 1]):
        if level in levels and level in entries:
            (key, value), states.entries[level] = columns[level], entries[level]
        elif level in levels:
            ready = (columns[level][0], columns[level][1]) if level < len(columns) else None
            key, value, states.entries[level] = enter(inputs[level], level, weights, mask, rotation, ready)
        elif level < len(columns):
            key, value = columns[level]
        else:
            key, value = project_columns(inputs[level], layer, rotation)
        states.keys.append(key)
        states.values.append(value)
    return states


def embed_source(weights: FoldedWeights, block: SourceBatch) -> Tensor:
    """The input of layer 0, (B, S, D)."""
    return embed(block.tokens, block.positions, weights)


def source_rotation(weights: FoldedWeights, block: SourceBatch) -> Rotation | None:
    """The rotation of source rows, counted from `</s>` in front; None if the LM rotates nothing."""
    return rotation_at(weights, block.positions, FIRST_POSITION)


def enter(
    x: Tensor,
    level: int,
    weights: FoldedWeights,
    mask: Tensor,
    rotation: Rotation | None,
    columns: tuple[Tensor, Tensor] | None,
) -> tuple[Tensor, Tensor, LayerEntry]:
    """Keys, values and entry of a source in the lowest prompted layer.

    Args:
        x: the layer's input, (B, S, D).
        level: the layer's number.
        weights: the LM's.
        mask: `source_mask`.
        rotation: `source_rotation`.
        columns: its keys and values (B, G, S, d), if they are known already.
    """
    layer = weights.layers[level]
    rows = x[:, -1:] if level == len(weights.layers) - 1 else x  # (B, R, D)
    if rows is x and columns is None:
        query, key, value = split_heads(project(x, layer), layer, rotation)
    else:
        query = project_queries(rows, layer, last_rows(rotation, rows.shape[1]))
        key, value = columns or project_columns(x, layer, rotation)
    scores = product(query, key.transpose(-1, -2)) + mask[..., -rows.shape[1] :, :]  # (B, H, R, S)
    scores = scores.float()  # faster on a CPU than torch's bfloat16 kernels
    shares = scores.softmax(-1)
    log_sum = scores.amax(-1) - shares.amax(-1).log()  # (B, H, R); both maxima are in the same column
    mixed = product(shares.to(value.dtype), value)
    return key, value, LayerEntry(rows, merge_heads(query), merge_heads(mixed), log_sum.transpose(1, 2))


def source_mask(block: SourceBatch, dtype: torch.dtype) -> Tensor:
    """The mask to add to the scores of source rows on source columns, (B, 1, S, S)."""
    padded = block.is_padded
    columns = padded.shape[1]
    visible = torch.ones(columns, columns, dtype=torch.bool, device=padded.device).tril() & ~padded[:, None, :]
    visible |= torch.eye(
        columns, dtype=torch.bool, device=padded.device
    )  # a pad sees itself, because its row would be NaN otherwise
    return additive(~visible, dtype)[:, None]


def source_padding(block: SourceBatch, dtype: torch.dtype) -> Tensor:
    """The mask to add to the scores of target rows on source columns, (B, 1, 1, S)."""
    return additive(block.is_padded, dtype)[:, None, None, :]
