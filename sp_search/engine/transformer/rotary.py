"""Rotary positions (RoFormer, arXiv 2104.09864): queries and keys are rotated by angles that grow with the position.

A score depends on the distance of its two rows alone. So all positions may be counted from any row. Here `</s>` in
front of the source is position 0, whatever prompt stands before it: so the source states are the same for all trials.

T rows   H heads   d head width   r rotated dimensions, the first of each head
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from sp_search.engine.transformer.folded_weights import FoldedWeights


class Rotation(NamedTuple):
    """The rotation of some rows, the same for all heads."""

    cosine: Tensor  # (..., 1, T, r / 2)
    sine: Tensor  # the same


def rotation_at(weights: FoldedWeights, positions: Tensor, first: int = 0) -> Rotation | None:
    """The rotation of rows at positions (..., T), counted from `first`; None if the LM rotates nothing.

    Rows before the first have negative positions.
    """
    if weights.rotary_rates is None:
        return None
    angles = ((positions - first)[..., None].float() * weights.rotary_rates).unsqueeze(-3)  # (..., 1, T, r / 2)
    return Rotation(angles.cos().to(weights.dtype), angles.sin().to(weights.dtype))


def last_rows(rotation: Rotation | None, rows: int) -> Rotation | None:
    """The rotation of the last of these rows alone."""
    if rotation is None:
        return None
    return Rotation(rotation.cosine[..., -rows:, :], rotation.sine[..., -rows:, :])


def rotated(x: Tensor, rotation: Rotation | None) -> Tensor:
    """Queries or keys (..., H, T, d), rotated. Dimension i of the first r / 2 is paired with i + r / 2."""
    if rotation is None:
        return x
    half = rotation.cosine.shape[-1]
    first, second, rest = x.split([half, half, x.shape[-1] - 2 * half], dim=-1)
    turned = [
        first * rotation.cosine - second * rotation.sine,
        second * rotation.cosine + first * rotation.sine,
    ]
    return torch.cat([*turned, rest], dim=-1)
