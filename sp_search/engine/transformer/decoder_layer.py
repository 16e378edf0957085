"""A decoder layer without its attention (projections, heads, feed-forward), and the loop over all layers.

The weights get gradients only if they are trained, as in fine-tuning.

T rows   H heads   d head width   D embedding size   F feed-forward size
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from sp_search.engine.runtime.compile import compiled_piece
from sp_search.engine.runtime.packed_linear import multiply
from sp_search.engine.runtime.torch_private import layer_norm_backward, layer_norm_with_statistics, relu_backward_
from sp_search.engine.transformer.folded_weights import FoldedLayer

Attend = Callable[[Tensor, int], tuple[Tensor, Tensor]]
"""Takes a layer's input and number. Returns the input of the rows that continue, and their attention output."""


def project(x: Tensor, layer: FoldedLayer) -> Tensor:
    """Queries (without their bias), keys and values of a layer's input: (..., D) to (..., 3D)."""
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
    """The output of `project`, (..., T, 3D), to queries with their bias, keys and values, each (..., H, T, d)."""
    heads = len(layer.query_bias)
    query, key, value = (to_heads(part, heads) for part in projected.chunk(3, dim=-1))
    return query + layer.query_bias[:, None], key, value


def split_columns(projected: Tensor, layer: FoldedLayer) -> tuple[Tensor, Tensor]:
    """The output of `project_columns`, (..., T, 2D), to keys and values, each (..., H, T, d)."""
    heads = len(layer.query_bias)
    key, value = (to_heads(part, heads) for part in projected.chunk(2, dim=-1))
    return key, value


def to_heads(x: Tensor, heads: int) -> Tensor:
    """(..., T, D) to (..., H, T, d), a view."""
    return x.unflatten(-1, (heads, -1)).transpose(-2, -3)


def merge_heads(mixed: Tensor) -> Tensor:
    """(..., H, T, d) to (..., T, D)."""
    return mixed.transpose(-2, -3).flatten(-2)


def run_layers(x: Tensor, layers: Sequence[FoldedLayer], attend: Attend) -> Tensor:
    """Run rows through successive layers.

    Args:
        x: the input of the first of them.
        layers: in order.
        attend: the attention of each layer.

    Returns:
        The output of the last layer, (..., T, D); x if there are no layers.
    """
    for level, layer in enumerate(layers):
        x, mixed = attend(x, level)
        x = finish_layer(x, mixed, layer)
    return x


def finish_layer(x: Tensor, mixed: Tensor, layer: FoldedLayer) -> Tensor:
    """A layer's output from its input and its attention output, both (..., T, D)."""
    x = x + layer.out(mixed)
    weights = layer.fc1.weight, layer.fc1.bias, layer.fc2.weight, layer.fc2.bias
    return _FeedForward.apply(x, layer, *weights)  # type: ignore[no-untyped-call]


class _FeedForward(torch.autograd.Function):
    """x + fc2(relu(fc1(norm(x)))). Written by hand to work in place on the tensors of width F."""

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
    """The output (T, D), and for the backward the norm's mean and 1 / deviation (T, 1) and the hidden rows (T, F)."""
    normed, mean, rstd = layer_norm_with_statistics(rows)
    hidden = multiply(normed, up, up_bias, relu=True)
    return multiply(hidden, down, down_bias).add_(rows), mean, rstd, hidden


def _feed_forward_back(
    above: Tensor, rows: Tensor, mean: Tensor, rstd: Tensor, hidden: Tensor, up: Tensor, down: Tensor
) -> tuple[Tensor, Tensor]:
    """The gradients on rows (T, D) and on the ReLU's input (T, F) from that on the output. Weights are transposed."""
    on_hidden = relu_backward_(multiply(above, down), hidden)
    on_rows = layer_norm_backward(multiply(on_hidden, up), rows, mean, rstd)
    return on_rows.add_(above), on_hidden
