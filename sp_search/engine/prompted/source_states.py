"""The source as far up as no prompt reaches it: the same for all trials, without gradient (method.md, "Savings" 5).

B utterances   S source columns   R rows that are wanted above   L layers   H heads   d head width   D embedding size
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from sp_search.engine.batch.collate import SourceBlock
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
from sp_search.engine.transformer.folded_weights import FrozenWeights


@dataclass(frozen=True)
class Entry:
    """The source where it enters the lowest prompted layer, and what it would take in there without a prompt.

    R = S, but in the last layer: above it only the row before `<s>` may be wanted, R = 1.
    """

    state: Tensor  # input of the layer, (B, R, D)
    query: Tensor  # (B, R, D)
    mixed: Tensor  # what its attention takes in of the source alone, (B, R, D)
    log_sum: Tensor  # of the exponentials of a row's scores on the source, (B, R, H), float32

    def part(self, rows: slice) -> Entry:
        """Some of its B rows, a view."""
        return Entry(self.state[rows], self.query[rows], self.mixed[rows], self.log_sum[rows])


@dataclass(frozen=True)
class Trunk:
    """What rows above the trunk read of it."""

    keys: list[Tensor]  # of the layers up to the highest level asked for: (B, H, S, d)
    values: list[Tensor]  # the same
    entries: dict[int, Entry]  # by level
    padding: Tensor  # (B, 1, 1, S), what is added to scores of tail rows on source columns

    def part(self, rows: slice) -> Trunk:
        """Some of its B rows, a view."""
        return Trunk(
            keys=[key[rows] for key in self.keys],
            values=[value[rows] for value in self.values],
            entries={level: entry.part(rows) for level, entry in self.entries.items()},
            padding=self.padding[rows],
        )


def trunk_levels(first_live_layers: Iterable[int | None], layers: int) -> frozenset[int]:
    """The levels a trunk must reach for trials of these lowest live layers; None, a source never reached, is L."""
    return frozenset(layers if level is None else level for level in first_live_layers)


@torch.no_grad()
def run_trunk(
    weights: FrozenWeights, block: SourceBlock, levels: frozenset[int], inputs: list[Tensor] | None = None
) -> Trunk:
    """Run the source up to the highest of `trunk_levels`; inputs takes what enters each layer, (B, S, D)."""
    return live_trunk(weights, block, levels, inputs)


def live_trunk(
    weights: FrozenWeights, block: SourceBlock, levels: frozenset[int], inputs: list[Tensor] | None = None
) -> Trunk:
    """What `run_trunk` gives, with the gradient that weights of a fine-tuned LM need."""
    highest = max(levels)
    mask = source_mask(block, weights.dtype)
    trunk = Trunk([], [], {}, source_padding(block, weights.dtype))
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


def trunk_of_parts(
    weights: FrozenWeights,
    block: SourceBlock,
    levels: frozenset[int],
    columns: Tensor,
    inputs: Mapping[int, Tensor],
    entries: Mapping[int, Entry],
) -> Trunk:
    """The trunk of a block from what `run_trunk` made on its way, without attention and feed-forward.

    Args:
        weights: the frozen LM.
        block: the sources.
        levels: `trunk_levels`.
        columns: keys and values of the lowest L' layers, (L', 2, B, H, S, d).
        inputs: by layer, what enters it, (B, S, D): of all levels, and of the layers below that columns lack.
        entries: of levels whose columns are there, R = S.
    """
    mask = source_mask(block, weights.dtype)
    trunk = Trunk([], [], {}, source_padding(block, weights.dtype))
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


def embed_source(weights: FrozenWeights, block: SourceBlock) -> Tensor:
    """What enters layer 0, (B, S, D)."""
    return weights.tokens[block.tokens] + weights.positions[block.positions]


def enter(
    x: Tensor, level: int, weights: FrozenWeights, mask: Tensor, columns: tuple[Tensor, Tensor] | None
) -> tuple[Tensor, Tensor, Entry]:
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
    return key, value, Entry(asking, merge_heads(query), merge_heads(mixed), log_sum.transpose(1, 2))


def source_mask(block: SourceBlock, dtype: torch.dtype) -> Tensor:
    """What is added to scores of source rows on source columns, (B, 1, S, S)."""
    padded = block.is_padded
    columns = padded.shape[1]
    visible = torch.ones(columns, columns, dtype=torch.bool, device=padded.device).tril() & ~padded[:, None, :]
    visible |= torch.eye(columns, dtype=torch.bool, device=padded.device)  # a pad sees itself, else its row is NaN
    return additive(~visible, dtype)[:, None]


def source_padding(block: SourceBlock, dtype: torch.dtype) -> Tensor:
    """What is added to scores of tail rows on source columns, (B, 1, 1, S)."""
    return additive(block.is_padded, dtype)[:, None, None, :]
