"""A unit LM's weights, transformed for the engine: the same function with fewer operations per layer.

The affine part of a norm before a sublayer is folded into the projection behind it, and the 1/sqrt(head width) of
attention into the query rows. Prompts take the place of normed inputs, so the key and value projections are kept
unfolded as well.

Keys and values have no bias. A constant added to all keys changes no attention share. A constant added to all values
is added to the output unchanged, because shares sum to 1, so it is moved into the bias of `out`. The projections of
prompts have a bias that makes up for both. Keys that are rotated or normed keep their bias: there it is no constant.

L layers   D embedding size   F feed-forward size   H heads   G key/value heads   d head width   V vocabulary
C columns of the logits
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sp_search.engine.batch.collate import FIRST_POSITION
from sp_search.engine.runtime.packed_linear import PackedLinear
from sp_search.lm.architecture import Architecture
from sp_search.lm.unit_lm import Layer, UnitLM, sinusoidal_positions


@dataclass(frozen=True)
class FoldedLayer:
    """One decoder layer; linear weights are (out, in)."""

    architecture: Architecture
    qkv: PackedLinear  # ((H + 2G) * d, D): norm folded in, queries scaled; a bias only where keys keep theirs
    query_bias: Tensor | None  # (H, d); None where `qkv` has it
    query_norm: Tensor | None  # (d,), with the scale of queries
    key_norm: Tensor | None  # (d,)
    prompt_keys: PackedLinear  # (G * d, D)
    prompt_values: PackedLinear  # (G * d, D)
    out: PackedLinear  # (D, H * d)
    fc1: PackedLinear  # (F, D) or, gated, (2F, D): norm folded in
    fc2: PackedLinear  # (D, F)
    attn_norm: tuple[Tensor, Tensor | None] | None  # behind attention; None for a norm before it
    ffn_norm: tuple[Tensor, Tensor | None] | None  # behind the feed-forward part, the same
    backend: str | None  # of torch.compile, for `compiled_piece`; None compiles nothing


@dataclass(frozen=True)
class FoldedWeights:
    """The weights that the engine computes with; only those of a fine-tuned LM have a gradient."""

    architecture: Architecture
    layers: tuple[FoldedLayer, ...]
    tokens: Tensor  # (V, D): embeddings times their scale
    positions: Tensor | None  # (max_positions + 2, D): row p is position p; pads (row 1) are zero; None if rotary
    rotary_rates: Tensor | None  # (rotated dimensions / 2,), float32: radians a position; None unless rotary
    projection: tuple[Tensor, Tensor]  # (C, D), (C,): the output projection, final norm folded in
    normed: bool  # whether a final norm comes before the projection
    dtype: torch.dtype

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.tokens.device

    @property
    def backend(self) -> str | None:
        """The backend of torch.compile of its layers."""
        return self.layers[0].backend


def fold_weights(lm: UnitLM, device: torch.device, dtype: torch.dtype, backend: str | None = None) -> FoldedWeights:
    """Ready a unit LM's weights on a device; matrices in dtype, folding done in float32.

    With a backend of torch.compile, pieces of the layers are compiled.
    """
    architecture = lm.architecture
    output_rows = lm.output_rows().float()
    scale, shift = lm.final_norm if lm.final_norm is not None else (output_rows.new_ones(1), None)
    shift = output_rows.new_zeros(architecture.embed_dim) if shift is None else shift
    positions = _position_table(lm)
    rates = _rotary_rates(architecture)
    return FoldedWeights(
        architecture=architecture,
        layers=tuple(_fold_layer(layer, architecture, device, dtype, backend) for layer in lm.layers),
        tokens=(lm.input_rows().float() * architecture.token_scale).to(device, dtype),
        positions=None if positions is None else positions.to(device, dtype),
        rotary_rates=None if rates is None else rates.to(device),
        projection=_place(output_rows * scale.float(), output_rows @ shift.float(), device, dtype),
        normed=lm.final_norm is not None,
        dtype=dtype,
    )


def _position_table(lm: UnitLM) -> Tensor | None:
    """What is added to the input of layer 0 at each position, (max_positions + 2, D)."""
    if lm.position_table is not None:
        table = lm.position_table.float()
        return torch.cat([table.new_zeros(FIRST_POSITION, table.shape[1]), table])
    if lm.architecture.is_rotary:
        return None
    return sinusoidal_positions(lm.architecture, torch.arange(lm.architecture.max_positions + FIRST_POSITION))


def _rotary_rates(architecture: Architecture) -> Tensor | None:
    if not architecture.is_rotary:
        return None
    width = architecture.rotary_width
    return 1.0 / architecture.rotary_theta ** (torch.arange(0, width, 2, dtype=torch.float32) / width)


def _fold_layer(
    layer: Layer, architecture: Architecture, device: torch.device, dtype: torch.dtype, backend: str | None
) -> FoldedLayer:
    floats = Layer._make(None if tensor is None else tensor.float() for tensor in layer)
    widths = [architecture.query_width, architecture.kv_width, architecture.kv_width]
    attn_norm = floats.attn_norm_weight, floats.attn_norm_bias
    qkv_weight, of_norm = _behind_norm(floats.qkv_weight, *attn_norm, architecture)
    zeros = floats.qkv_weight.new_zeros(sum(widths))
    of_norm = zeros if of_norm is None else of_norm
    bias = of_norm if floats.qkv_bias is None else floats.qkv_bias + of_norm
    query_bias, key_bias, value_bias = bias.split(widths)
    _, key_shift, value_shift = of_norm.split(widths)
    query_scale = architecture.head_dim**-0.5
    scale = floats.qkv_weight.new_ones(sum(widths))
    query_norm = floats.query_norm_weight
    if query_norm is None:
        scale[: widths[0]] = query_scale
    keys_keep_bias = architecture.is_rotary or architecture.qk_norm
    scaled = (qkv_weight * scale[:, None]).to(device, dtype).contiguous()
    query_bias = query_bias * scale[: widths[0]]
    joined = torch.cat([query_bias, key_bias, torch.zeros_like(value_bias)])
    _, keys, values = floats.qkv_weight.split(widths)
    prompt_key_bias = key_bias - key_shift if keys_keep_bias else -key_shift
    fc1_weight, fc1_of_norm = _behind_norm(
        floats.fc1_weight, floats.ffn_norm_weight, floats.ffn_norm_bias, architecture
    )
    moved = value_bias.view(architecture.kv_heads, -1)
    moved = moved.repeat_interleave(architecture.attention_heads // architecture.kv_heads, 0).flatten()
    behind = not architecture.norm_before
    return FoldedLayer(
        architecture=architecture,
        qkv=PackedLinear(scaled, joined.to(device, dtype) if keys_keep_bias else None),
        query_bias=None if keys_keep_bias else query_bias.view(-1, architecture.head_dim).to(device, dtype),
        query_norm=None if query_norm is None else (query_norm * query_scale).to(device),
        key_norm=None if floats.key_norm_weight is None else floats.key_norm_weight.to(device),
        prompt_keys=PackedLinear(*_place(keys, prompt_key_bias, device, dtype)),
        prompt_values=PackedLinear(*_place(values, -value_shift, device, dtype)),
        out=_linear(floats.out_weight, _sum(floats.out_bias, floats.out_weight @ moved), device, dtype),
        fc1=_linear(fc1_weight, _sum(floats.fc1_bias, fc1_of_norm), device, dtype),
        fc2=_linear(floats.fc2_weight, floats.fc2_bias, device, dtype),
        attn_norm=_placed_norm(floats.attn_norm_weight, floats.attn_norm_bias, device) if behind else None,
        ffn_norm=_placed_norm(floats.ffn_norm_weight, floats.ffn_norm_bias, device) if behind else None,
        backend=backend,
    )


def _behind_norm(
    weight: Tensor, scale: Tensor, shift: Tensor | None, architecture: Architecture
) -> tuple[Tensor, Tensor | None]:
    """A weight with the affine part of the norm before it folded in, and the constant that the norm's bias adds."""
    if not architecture.norm_before:
        return weight, None
    return weight * scale, None if shift is None else weight @ shift


def _sum(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    if one is None or other is None:
        return other if one is None else one
    return one + other


def _linear(weight: Tensor, bias: Tensor | None, device: torch.device, dtype: torch.dtype) -> PackedLinear:
    placed = None if bias is None else bias.to(device, dtype).contiguous()
    return PackedLinear(weight.to(device, dtype).contiguous(), placed)


def _place(weight: Tensor, bias: Tensor, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    return weight.to(device, dtype).contiguous(), bias.to(device, dtype).contiguous()


def _placed_norm(weight: Tensor, bias: Tensor | None, device: torch.device) -> tuple[Tensor, Tensor | None]:
    return weight.to(device), None if bias is None else bias.to(device)
