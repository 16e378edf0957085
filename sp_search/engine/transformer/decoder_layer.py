"""A decoder layer without its attention (projections, heads, feed-forward), and the loop over all layers.

The weights get gradients only if they are trained, as in fine-tuning.

T rows   H heads   G key/value heads   d head width   D embedding size   F feed-forward size
N = (H + 2G) * d, which is 3D in the fairseq LM
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from sp_search.engine.runtime.compile import compiled_piece
from sp_search.engine.runtime.packed_linear import multiply
from sp_search.engine.runtime.torch_private import layer_norm_backward, layer_norm_with_statistics, relu_backward_
from sp_search.engine.transformer.folded_weights import FoldedLayer
from sp_search.engine.transformer.norm import Affine, head_norm, normalized, sublayer_input
from sp_search.engine.transformer.rotary import Rotation, rotated

ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "silu": F.silu,
    "gelu": F.gelu,
    "gelu_tanh": partial(F.gelu, approximate="tanh"),
}

Attend = Callable[[Tensor, int], tuple[Tensor, Tensor]]
"""Takes a layer's input and number. Returns the input of the rows that continue, and their attention output."""


def project(x: Tensor, layer: FoldedLayer) -> Tensor:
    """Queries (without a bias of their own), keys and values of a layer's input: (..., D) to (..., N)."""
    return layer.qkv(sublayer_input(x, layer.architecture))


def project_queries(x: Tensor, layer: FoldedLayer, rotation: Rotation | None) -> Tensor:
    """Queries alone: (..., T, D) to (..., H, T, d)."""
    width, bias = layer.architecture.query_width, layer.qkv.bias
    bias = layer.query_bias.flatten() if layer.query_bias is not None else bias[:width] if bias is not None else None
    projected = F.linear(sublayer_input(x, layer.architecture), layer.qkv.weight[:width], bias)
    return _placed(to_heads(projected, layer.architecture.attention_heads), layer.query_norm, layer, rotation)


def project_columns(x: Tensor, layer: FoldedLayer, rotation: Rotation | None) -> tuple[Tensor, Tensor]:
    """Keys and values alone: (..., T, D) to (..., G, T, d) each."""
    width, bias = layer.architecture.query_width, layer.qkv.bias
    normed = sublayer_input(x, layer.architecture)
    projected = F.linear(normed, layer.qkv.weight[width:], None if bias is None else bias[width:])
    key, value = (to_heads(part, layer.architecture.kv_heads) for part in projected.chunk(2, dim=-1))
    return _placed(key, layer.key_norm, layer, rotation), value


def split_heads(projected: Tensor, layer: FoldedLayer, rotation: Rotation | None) -> tuple[Tensor, Tensor, Tensor]:
    """The queries, (..., H, T, d), and keys and values, each (..., G, T, d), of the output of `project`, (..., T, N).

    Keys and queries are normed and rotated where the architecture says so; `rotation` is that of the rows.
    """
    architecture = layer.architecture
    parts = projected.split([architecture.query_width, architecture.kv_width, architecture.kv_width], dim=-1)
    heads = architecture.attention_heads, architecture.kv_heads, architecture.kv_heads
    query, key, value = (to_heads(part, count) for part, count in zip(parts, heads, strict=True))
    if layer.query_bias is not None:
        query = query + layer.query_bias[:, None]
    return (
        _placed(query, layer.query_norm, layer, rotation),
        _placed(key, layer.key_norm, layer, rotation),
        value,
    )


def prompt_columns(
    keys: Tensor, values: Tensor, layer: FoldedLayer, rotation: Rotation | None
) -> tuple[Tensor, Tensor]:
    """Keys and values of deep prompts (K, P, D), which stand in for the input of the projections: (K, G, P, d) each.

    Keys are normed as those of other rows are.
    """
    heads = layer.architecture.kv_heads
    key = _placed(to_heads(layer.prompt_keys(keys), heads), layer.key_norm, layer, rotation)
    return key, to_heads(layer.prompt_values(values), heads)


def _placed(heads: Tensor, norm: Tensor | None, layer: FoldedLayer, rotation: Rotation | None) -> Tensor:
    """Queries or keys, normed if there is a norm, and rotated."""
    return rotated(heads if norm is None else head_norm(heads, norm, layer.architecture), rotation)


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
    """A layer's output from its input, (..., T, D), and its attention output, (..., T, H * d)."""
    if layer.architecture.has_plain_feed_forward:
        x = x + layer.out(mixed)
        weights = layer.fc1.weight, layer.fc1.bias, layer.fc2.weight, layer.fc2.bias
        return _FeedForward.apply(x, layer, *weights)  # type: ignore[no-untyped-call]
    attended = x + layer.out(mixed)
    if layer.architecture.parallel:
        return attended + _any_feed_forward(x, layer)
    attended = _normed_behind(attended, layer.attn_norm, layer)
    return _normed_behind(attended + _any_feed_forward(attended, layer), layer.ffn_norm, layer)


def _normed_behind(x: Tensor, norm: Affine | None, layer: FoldedLayer) -> Tensor:
    return x if norm is None else normalized(x, layer.architecture, norm)


def _any_feed_forward(x: Tensor, layer: FoldedLayer) -> Tensor:
    """The feed-forward part of any architecture, without its residual: (..., D) to the same."""
    architecture = layer.architecture
    hidden = layer.fc1(sublayer_input(x, architecture))
    activation = ACTIVATIONS[architecture.activation]
    if not architecture.gated:
        return layer.fc2(activation(hidden))
    gate, up = hidden.chunk(2, dim=-1)
    return layer.fc2(activation(gate) * up)


class _FeedForward(torch.autograd.Function):
    """x + fc2(relu(fc1(norm(x)))). Written by hand to work in place on the tensors of width F."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: FoldedLayer, *weights: Tensor | None) -> Tensor:
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
            has_up, has_down = ctx.needs_input_grad[3], ctx.needs_input_grad[5]  # biases, which some LMs lack
            on_weights = (
                on_hidden.T @ normed,
                on_hidden.sum(0) if has_up else None,
                above.T @ hidden,
                above.sum(0) if has_down else None,
            )
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
