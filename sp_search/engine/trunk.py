"""The source as far up as no prompt reaches it: the same for all trials, without gradient (method.md, "Savings" 5).

B utterances   S source columns   L layers   H heads   d head width   D embedding size
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sp_search.engine.layers import additive, attend, feed_forward, merge_heads, project, split_heads
from sp_search.engine.layout import SourceBlock
from sp_search.engine.weights import FrozenWeights


@dataclass(frozen=True)
class Trunk:
    """What rows above the trunk read of it."""

    keys: list[Tensor]  # per layer below the highest level asked for: (B, H, S, d)
    values: list[Tensor]  # the same
    states: dict[int, Tensor]  # level -> input of that layer, (B, S, D)
    projected: dict[int, Tensor]  # level -> its queries, keys and values, (B, S, 3D)
    padding: Tensor  # (B, 1, 1, S), what is added to scores of tail rows on source columns


def trunk_levels(first_live_layers: Iterable[int | None], layers: int) -> frozenset[int]:
    """The levels a trunk must reach for trials of these lowest live layers; None, a source never reached, is L."""
    return frozenset(layers if level is None else level for level in first_live_layers)


@torch.no_grad()
def run_trunk(weights: FrozenWeights, block: SourceBlock, levels: frozenset[int]) -> Trunk:
    """Run the source up to the highest of `trunk_levels`."""
    return live_trunk(weights, block, levels)


def live_trunk(weights: FrozenWeights, block: SourceBlock, levels: frozenset[int]) -> Trunk:
    """What `run_trunk` gives, with the gradient that weights of a fine-tuned LM need."""
    layers, highest = weights.architecture.layers, max(levels)
    mask = source_mask(block, weights.dtype)
    trunk = Trunk([], [], {}, {}, source_padding(block, weights.dtype))
    x = weights.tokens[block.tokens] + weights.positions[block.positions]  # (B, S, D)
    for level, layer in enumerate(weights.layers[: highest + 1]):
        projected = project(x, layer)  # (B, S, 3D)
        if level in levels:
            trunk.states[level], trunk.projected[level] = x, projected
        if level == highest:
            break
        query, key, value = split_heads(projected, weights)  # (B, H, S, d)
        trunk.keys.append(key)
        trunk.values.append(value)
        if level + 1 < layers:
            mixed = attend(query, [(key, value, mask)])
            x = feed_forward(x + F.linear(merge_heads(mixed), *layer.out), layer)
    return trunk


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
