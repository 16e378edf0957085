"""A unit LM's weights, transformed for the engine: the same function with fewer operations per layer.

The affine part of a norm is folded into the projection behind it, and the 1/sqrt(head width) of attention into the
query rows. Prompts take the place of layer-normed inputs, so the key and value projections are kept unfolded as well.

Keys and values have no bias. A constant added to all keys changes no attention share. A constant added to all values
is added to the output unchanged, because shares sum to 1, so it is moved into the bias of `out`. The projections of
prompts have a bias that makes up for both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from sp_search.engine.runtime.packed_linear import PackedLinear
from sp_search.lm.architecture import Architecture, Layer, UnitLM, sinusoidal_positions


@dataclass(frozen=True)
class FoldedLayer:
    """One decoder layer; linear weights are (out, in)."""

    qkv: PackedLinear  # (3D, D), no bias: norm folded in, queries scaled
    query_bias: Tensor  # (H, d)
    prompt_keys: PackedLinear  # (D, D)
    prompt_values: PackedLinear  # (D, D)
    out: PackedLinear  # (D, D)
    fc1: PackedLinear  # (F, D): norm folded in
    fc2: PackedLinear  # (D, F)
    backend: str | None  # of torch.compile, for `compiled_piece`; None compiles nothing


@dataclass(frozen=True)
class FoldedWeights:
    """The weights that the engine computes with; only those of a fine-tuned LM have a gradient."""

    architecture: Architecture
    layers: tuple[FoldedLayer, ...]
    tokens: Tensor  # (V, D): embeddings times sqrt(D)
    positions: Tensor  # (max_positions + 2, D): row p is position p; pads (row 1) are zero
    projection: tuple[Tensor, Tensor]  # (V, D), (V,): the tied output projection, final norm folded in
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
    embedding = lm.embedding.float()
    longest = torch.arange(architecture.max_positions + 2)
    norm = lm.final_norm
    scale, shift = norm if norm is not None else (embedding.new_ones(1), embedding.new_zeros(architecture.embed_dim))
    return FoldedWeights(
        architecture=architecture,
        layers=tuple(_fold_layer(layer, architecture, device, dtype, backend) for layer in lm.layers),
        tokens=(embedding * math.sqrt(architecture.embed_dim)).to(device, dtype),
        positions=sinusoidal_positions(architecture, longest).to(device, dtype),
        projection=_place(embedding * scale.float(), embedding @ shift.float(), device, dtype),
        normed=norm is not None,
        dtype=dtype,
    )


def _fold_layer(
    layer: Layer, architecture: Architecture, device: torch.device, dtype: torch.dtype, backend: str | None
) -> FoldedLayer:
    width = architecture.embed_dim
    floats = Layer(*(tensor.float() for tensor in layer))
    qkv_weight = floats.qkv_weight * floats.attn_norm_weight
    of_norm = floats.qkv_weight @ floats.attn_norm_bias
    query_bias, _, value_bias = (floats.qkv_bias + of_norm).split(width)
    _, key_shift, value_shift = of_norm.split(width)
    scale = floats.qkv_bias.new_ones(3 * width)
    scale[:width] = architecture.head_dim**-0.5
    fc1_bias = floats.fc1_bias + floats.fc1_weight @ floats.ffn_norm_bias
    _, keys, values = floats.qkv_weight.split(width)
    return FoldedLayer(
        qkv=PackedLinear((qkv_weight * scale[:, None]).to(device, dtype).contiguous(), None),
        query_bias=(query_bias * scale[:width]).view(-1, architecture.head_dim).to(device, dtype),
        prompt_keys=PackedLinear(*_place(keys, -key_shift, device, dtype)),
        prompt_values=PackedLinear(*_place(values, -value_shift, device, dtype)),
        out=PackedLinear(*_place(floats.out_weight, floats.out_bias + floats.out_weight @ value_bias, device, dtype)),
        fc1=PackedLinear(*_place(floats.fc1_weight * floats.ffn_norm_weight, fc1_bias, device, dtype)),
        fc2=PackedLinear(*_place(floats.fc2_weight, floats.fc2_bias, device, dtype)),
        backend=backend,
    )


def _place(weight: Tensor, bias: Tensor, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    return weight.to(device, dtype).contiguous(), bias.to(device, dtype).contiguous()
