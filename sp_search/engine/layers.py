"""The decoder layer in pieces: frozen weights, attention over columns that lie in several tensors.

H heads   d head width   T rows   D embedding size
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from sp_search.engine.weights import FrozenLayer, FrozenWeights

Part = tuple[Tensor, Tensor, Tensor | None]
"""Keys and values (..., H, columns, d), and what is added to the scores on them or None."""


def decoder_layer(
    x: Tensor,
    projected: Tensor,
    layer: FrozenLayer,
    weights: FrozenWeights,
    past: list[Part],
    mask: Tensor,
    rows: int | None,
) -> Tensor:
    """One decoder layer for its last `rows` rows, or for all: (K, B, T, D) to (K, B, rows, D).

    Args:
        x: (K, B, T, D).
        projected: the queries, keys and values of x, (K, B, T, 3D).
        layer: its weights.
        weights: the LM's.
        past: columns beside those of x that every row sees.
        mask: what is added to the scores of x's rows on x's columns, (..., T, T).
        rows: how many rows are wanted.
    """
    query, key, value = split_heads(projected, weights)  # (K, B, H, T, d)
    if rows is not None:
        x, query, mask = x[:, :, -rows:], query[..., -rows:, :], mask[..., -rows:, :]
    mixed = attend(query, [*past, (key, value, mask)])  # (K, B, H, rows, d)
    return feed_forward(x + F.linear(merge_heads(mixed), *layer.out), layer)


def attend(query: Tensor, parts: list[Part]) -> Tensor:
    """Attention over columns that lie in several tensors, one softmax over all of them.

    Written out: torch's fused CPU kernel has a slow backward at these lengths.
    """
    scores = []
    for key, _, mask in parts:
        score = _product(query, key.transpose(-1, -2))
        scores.append(score if mask is None else score + mask)
    attended = torch.cat(scores, dim=-1) if len(scores) > 1 else scores[0]
    attended = attended.softmax(-1)
    shares = attended.split([score.shape[-1] for score in scores], dim=-1)
    mixed = _product(shares[0], parts[0][1])
    for share, (_, value, _) in zip(shares[1:], parts[1:], strict=True):
        mixed = mixed + _product(share, value)
    return mixed


def _product(rows: Tensor, shared: Tensor) -> Tensor:
    """rows @ shared, (..., H, R, n) by (..., H, n, m), where all trials or all utterances may have one right side.

    Then theirs are one product of more rows: broadcasting would copy the right side for each of them.
    """
    if rows.dim() == 5 and shared.shape[0] == 1 < rows.shape[0]:
        folded = rows.permute(1, 2, 0, 3, 4).flatten(2, 3) @ shared[0]  # (B, H, K * R, m)
        return folded.unflatten(2, (len(rows), -1)).permute(2, 0, 1, 3, 4)
    if rows.dim() == 5 and shared.shape[1] == 1 < rows.shape[1]:
        folded = rows.transpose(1, 2).flatten(2, 3) @ shared[:, 0]  # (K, H, B * R, m)
        return folded.unflatten(2, (rows.shape[1], -1)).transpose(1, 2)
    return rows @ shared


def project(x: Tensor, layer: FrozenLayer) -> Tensor:
    """Queries, keys and values of what enters a layer: (..., D) to (..., 3D)."""
    return F.linear(F.layer_norm(x, x.shape[-1:]), *layer.qkv)


def feed_forward(x: Tensor, layer: FrozenLayer) -> Tensor:
    """The second half of a layer, (..., D) to (..., D)."""
    hidden = F.relu(F.linear(F.layer_norm(x, x.shape[-1:]), *layer.fc1))
    return x + F.linear(hidden, *layer.fc2)


def split_heads(projected: Tensor, weights: FrozenWeights) -> tuple[Tensor, Tensor, Tensor]:
    """(..., T, 3D) to queries, keys and values, each (..., H, T, d)."""
    architecture = weights.architecture
    split = projected.unflatten(-1, (3, architecture.attention_heads, architecture.head_dim))
    query, key, value = split.unbind(-3)
    return query.transpose(-2, -3), key.transpose(-2, -3), value.transpose(-2, -3)


def merge_heads(mixed: Tensor) -> Tensor:
    """(..., H, T, d) to (..., T, D)."""
    return mixed.transpose(-2, -3).flatten(-2)


def additive(masked: Tensor, dtype: torch.dtype) -> Tensor:
    """What is added to scores: -inf where masked, else 0; of the same shape."""
    return torch.zeros_like(masked, dtype=dtype).masked_fill(masked, -torch.inf)
