"""What a decoder layer does beside attention. Backward goes to weights only where they are trained: fine-tuning.

T rows   H heads   d head width   D embedding size   F feed-forward size
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from sp_search.engine.runtime.compile import compiled_piece
from sp_search.engine.runtime.packed_linear import multiply
from sp_search.engine.transformer.folded_weights import FoldedLayer

NORM_EPS = 1e-5


def project(x: Tensor, layer: FoldedLayer) -> Tensor:
    """Queries, yet without their bias, keys and values of what enters a layer: (..., D) to (..., 3D)."""
    return layer.qkv(F.layer_norm(x, x.shape[-1:]))


def project_queries(x: Tensor, layer: FoldedLayer) -> Tensor:
    """Queries alone, with their bias: (..., D) to (..., D)."""
    width = x.shape[-1]
    return F.linear(F.layer_norm(x, (width,)), layer.qkv.weight[:width], layer.query_bias.flatten())


def project_columns(x: Tensor, layer: FoldedLayer) -> Tensor:
    """The last two thirds of `project`: keys and values alone, (..., D) to (..., 2D)."""
    width = x.shape[-1]
    return F.linear(F.layer_norm(x, (width,)), layer.qkv.weight[width:])


def split_heads(projected: Tensor, layer: FoldedLayer) -> tuple[Tensor, Tensor, Tensor]:
    """What `project` gave, (..., T, 3D), to queries, now with their bias, keys and values, each (..., H, T, d)."""
    query, key, value = _split(projected, 3, layer)
    return query + layer.query_bias[:, None], key, value


def split_columns(projected: Tensor, layer: FoldedLayer) -> tuple[Tensor, Tensor]:
    """(..., T, 2D) to keys and values, each (..., H, T, d)."""
    key, value = _split(projected, 2, layer)
    return key, value


def _split(projected: Tensor, parts: int, layer: FoldedLayer) -> Iterator[Tensor]:
    split = projected.unflatten(-1, (parts, *layer.query_bias.shape))
    return (part.transpose(-2, -3) for part in split.unbind(-3))


def merge_heads(mixed: Tensor) -> Tensor:
    """(..., H, T, d) to (..., T, D)."""
    return mixed.transpose(-2, -3).flatten(-2)


def finish_layer(x: Tensor, mixed: Tensor, layer: FoldedLayer) -> Tensor:
    """What leaves a layer: of what entered it and what its attention took in, both (..., T, D)."""
    x = x + layer.out(mixed)
    weights = layer.fc1.weight, layer.fc1.bias, layer.fc2.weight, layer.fc2.bias
    return _FeedForward.apply(x, layer, *weights)  # type: ignore[no-untyped-call]


class _FeedForward(torch.autograd.Function):
    """x + fc2(relu(fc1(norm(x)))), written by hand to work in place on what is F wide."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: FoldedLayer, *weights: Tensor) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])  # (T, D)
        of_up, of_down = (layer.fc1.weight, layer.fc2.weight) if layer.backend else (layer.fc1.ahead, layer.fc2.ahead)
        run = compiled_piece(_feed_forward, layer.backend)
        out, mean, rstd, hidden = run(rows, of_up, layer.fc1.bias, of_down, layer.fc2.bias)
        ctx.save_for_backward(rows, mean, rstd, hidden)
        ctx.layer = layer
        return out.view(x.shape)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        rows, mean, rstd, hidden = ctx.saved_tensors
        layer = ctx.layer
        above = upstream[0].reshape(rows.shape)
        up, down = (layer.fc1.weight.T, layer.fc2.weight.T) if layer.backend else (layer.fc1.back, layer.fc2.back)
        on_rows, on_hidden = compiled_piece(_feed_forward_back, layer.backend)(
            above, rows, mean, rstd, hidden, up, down
        )
        on_weights: tuple[Tensor | None, ...] = (None,) * 4
        if ctx.needs_input_grad[2]:
            normed = F.layer_norm(rows, rows.shape[-1:])
            on_weights = on_hidden.T @ normed, on_hidden.sum(0), above.T @ hidden, above.sum(0)
        return on_rows.view(upstream[0].shape), None, *on_weights


def _feed_forward(
    rows: Tensor, up: Tensor, up_bias: Tensor | None, down: Tensor, down_bias: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What comes out (T, D), and for the way back the norm's mean and 1 / deviation (T, 1) and the hidden (T, F)."""
    normed, mean, rstd = torch.native_layer_norm(rows, rows.shape[-1:], None, None, NORM_EPS)
    hidden = multiply(normed, up, up_bias, relu=True)
    return multiply(hidden, down, down_bias).add_(rows), mean, rstd, hidden


def _feed_forward_back(
    above: Tensor, rows: Tensor, mean: Tensor, rstd: Tensor, hidden: Tensor, up: Tensor, down: Tensor
) -> tuple[Tensor, Tensor]:
    """The gradients on rows (T, D) and on what the ReLU was given (T, F); weights are transposed."""
    on_hidden = multiply(above, down)
    torch.ops.aten.threshold_backward.grad_input(on_hidden, hidden, 0, grad_input=on_hidden)
    on_rows, _, _ = torch.ops.aten.native_layer_norm_backward(
        multiply(on_hidden, up), rows, rows.shape[-1:], mean, rstd, None, None, [True, False, False]
    )
    return on_rows.add_(above), on_hidden
