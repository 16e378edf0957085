"""The frozen unit LM: its weights, on one device in one dtype, and its positions.

L layers   D embedding size   E width of a token's embedding   F feed-forward size   H heads   G key/value heads
d head width   V vocabulary   C columns of the logits
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import NamedTuple

import torch
from torch import Tensor

from sp_search.errors import CheckpointError
from sp_search.lm.architecture import Architecture, expected_shapes, layer_shapes
from sp_search.types import EOS, PAD, SEPARATOR


class Layer(NamedTuple):
    """One decoder layer; linear weights are (out, in) as in torch. None where the architecture has no such weight."""

    attn_norm_weight: Tensor  # (D,)
    attn_norm_bias: Tensor | None  # (D,)
    qkv_weight: Tensor  # ((H + 2G) * d, D): query, key and value rows in this order
    qkv_bias: Tensor | None  # ((H + 2G) * d,)
    out_weight: Tensor  # (D, H * d)
    out_bias: Tensor | None  # (D,)
    ffn_norm_weight: Tensor  # (D,)
    ffn_norm_bias: Tensor | None  # (D,)
    fc1_weight: Tensor  # (F, D); gated: (2F, D), the rows of the activation first
    fc1_bias: Tensor | None  # (F,) or (2F,)
    fc2_weight: Tensor  # (D, F)
    fc2_bias: Tensor | None  # (D,)
    query_norm_weight: Tensor | None = None  # (d,)
    key_norm_weight: Tensor | None = None  # (d,)


@dataclass(frozen=True)
class UnitLM:
    """Frozen weights of a unit LM. Norms stay float32; the rest has the dtype asked for."""

    architecture: Architecture
    embedding: Tensor  # (V, E), also the output projection where it is tied; in fairseq's LM row 1 (pad) is zero
    layers: tuple[Layer, ...]  # L
    final_norm: tuple[Tensor, Tensor | None] | None  # weight and bias (D,), or None
    fingerprint: str  # sha256 of the weights, hex
    position_table: Tensor | None = None  # (max_positions, D): learned positions
    project_in: Tensor | None = None  # (D, E): from tokens to layer 0
    project_out: Tensor | None = None  # (E, D): from the last layer to the output projection
    head: Tensor | None = None  # (C, E): an output projection of its own

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.embedding.device

    @property
    def dtype(self) -> torch.dtype:
        """What matrix products run in."""
        return self.embedding.dtype

    @property
    def parameters(self) -> int:
        """How many weights it has."""
        return sum(tensor.numel() for tensor in self.tensors().values())

    def to(self, device: torch.device | str, dtype: torch.dtype) -> UnitLM:
        """The same LM on another device, matrices in another dtype; shares what needs no change."""
        moved = {
            name: tensor.to(device, torch.float32 if "norm" in name else dtype)
            for name, tensor in self.tensors().items()
        }
        return UnitLM.from_tensors(self.architecture, moved, self.fingerprint)

    def input_rows(self) -> Tensor:
        """What each dictionary id adds to the input of layer 0, before its scale: (V, D).

        `</s>` is the start token, for it is only ever read in front of a source. So is `<s>`, a trial's separator
        before it is trained, where the LM has no token for it.
        """
        rows = self.embedding if self.project_in is None else self.embedding @ self.project_in.T
        start, absent = self.architecture.start, self.architecture.absent
        if start == EOS and SEPARATOR not in absent:
            return rows
        ids = list(range(len(rows)))
        ids[EOS] = start
        if SEPARATOR in absent:
            ids[SEPARATOR] = start
        return rows[ids]

    def output_rows(self) -> Tensor:
        """The output projection on the states of the last layer, final norm applied: (C, D)."""
        rows, absent = self.embedding if self.head is None else self.head, self.architecture.absent
        if self.head is None and absent:
            rows = rows[[index for index in range(len(rows)) if index not in absent]]
        return rows if self.project_out is None else rows @ self.project_out

    def tensors(self) -> dict[str, Tensor]:
        """All weights by name, as `from_tensors` takes them."""
        named: dict[str, Tensor | None] = {"embedding": self.embedding}
        for i, layer in enumerate(self.layers):
            named |= {f"layers.{i}.{name}": tensor for name, tensor in layer._asdict().items()}
        if self.final_norm is not None:
            named |= {"final_norm_weight": self.final_norm[0], "final_norm_bias": self.final_norm[1]}
        named |= {name: getattr(self, name) for name in OUTSIDE_LAYERS}
        return {name: tensor for name, tensor in named.items() if tensor is not None}

    @classmethod
    def from_tensors(cls, architecture: Architecture, tensors: Mapping[str, Tensor], fingerprint: str) -> UnitLM:
        """Build an LM from named weights; every name and shape must be as `expected_shapes` says.

        Raises:
            CheckpointError: a weight is missing, unexpected or of another shape; all of them are named.
        """
        expected = expected_shapes(architecture)
        faults = [f"missing {name}" for name in expected if name not in tensors]
        faults += [f"unexpected {name}" for name in tensors if name not in expected]
        faults += [
            f"{name}: expected shape {shape}, got {tuple(tensors[name].shape)}"
            for name, shape in expected.items()
            if name in tensors and tuple(tensors[name].shape) != shape
        ]
        if faults:
            raise CheckpointError("unit LM weights: " + "; ".join(faults))
        there = layer_shapes(architecture)
        layers = tuple(
            Layer._make(tensors[f"layers.{i}.{name}"] if name in there else None for name in Layer._fields)
            for i in range(architecture.layers)
        )
        norm = (tensors["final_norm_weight"], tensors.get("final_norm_bias")) if architecture.final_norm else None
        outside = {name: tensors.get(name) for name in OUTSIDE_LAYERS}
        return cls(architecture, tensors["embedding"], layers, norm, fingerprint, **outside)


OUTSIDE_LAYERS = tuple(field.name for field in fields(UnitLM) if field.default is None)
"""Names of the weights outside the layers that not every LM has."""


def tensors_fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """sha256 over names, shapes and float32 values, hex; the same whatever file the weights came from."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(f"{name}{tuple(tensors[name].shape)}".encode())
        digest.update(tensors[name].float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def random_lm(architecture: Architecture, seed: int) -> UnitLM:
    """An untrained LM with weights of about the size that training leaves, for tests and benchmarks."""
    generator = torch.Generator().manual_seed(seed)
    tensors: dict[str, Tensor] = {}
    for name, shape in expected_shapes(architecture).items():
        noise = torch.randn(shape, generator=generator)
        if "norm_weight" in name:
            tensors[name] = 1 + 0.1 * noise
        elif len(shape) == 1:
            tensors[name] = 0.1 * noise
        else:
            tensors[name] = noise / math.sqrt(shape[-1])
    tensors["embedding"][PAD] = 0
    return UnitLM.from_tensors(architecture, tensors, tensors_fingerprint(tensors))


def sinusoidal_positions(architecture: Architecture, positions: Tensor) -> Tensor:
    """fairseq's sinusoidal table at the given positions.

    Args:
        positions: any shape, int64; the first real position is PAD + 1 = 2, and PAD itself gives zeros.

    Returns:
        positions.shape + (D,), float32.
    """
    half = architecture.embed_dim // 2
    rate = torch.exp(torch.arange(half, device=positions.device) * -(math.log(10000) / (half - 1)))
    angle = positions.unsqueeze(-1).float() * rate  # (..., D / 2)
    table = torch.cat([angle.sin(), angle.cos()], dim=-1)  # (..., D)
    return table * (positions != PAD).unsqueeze(-1)
