"""The frozen unit LM: its shape and its weights, on one device in one dtype.

Follows fairseq's `transformer_lm` decoder (method.md, "The unit LM"): pre-norm layers, ReLU, sinusoidal
positions, output projection tied to the embedding.

L layers   D embedding size   F feed-forward size   H heads   V vocabulary
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from sp_search.errors import CheckpointError
from sp_search.types import PAD


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """The shape of a unit LM."""

    layers: int
    embed_dim: int
    ffn_embed_dim: int
    attention_heads: int
    vocab_size: int  # the embedding's rows; a dictionary may be padded up to it
    max_positions: int  # longest sequence the LM was made for, in units
    final_norm: bool = True

    def __post_init__(self) -> None:
        if self.layers < 1:
            raise CheckpointError(f"unit LM: expected 1 or more layers, got {self.layers}")
        width, heads = self.embed_dim, self.attention_heads
        if width < 4 or heads < 1 or width % heads or width % 2:  # positions need two waves: 4
            raise CheckpointError(
                f"unit LM: expected an even width of 4 or more, divisible by its heads, "
                f"got width {width} and {heads} heads"
            )

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.embed_dim // self.attention_heads


class Layer(NamedTuple):
    """One pre-norm decoder layer; linear weights are (out, in) as in torch."""

    attn_norm_weight: Tensor  # (D,)
    attn_norm_bias: Tensor  # (D,)
    qkv_weight: Tensor  # (3D, D): query, key and value rows in this order
    qkv_bias: Tensor  # (3D,)
    out_weight: Tensor  # (D, D)
    out_bias: Tensor  # (D,)
    ffn_norm_weight: Tensor  # (D,)
    ffn_norm_bias: Tensor  # (D,)
    fc1_weight: Tensor  # (F, D)
    fc1_bias: Tensor  # (F,)
    fc2_weight: Tensor  # (D, F)
    fc2_bias: Tensor  # (D,)


@dataclass(frozen=True)
class UnitLM:
    """Frozen weights of a unit LM. Norms stay float32; the rest has the dtype asked for."""

    architecture: Architecture
    embedding: Tensor  # (V, D), also the output projection; row 1 (pad) is zero
    layers: tuple[Layer, ...]  # L
    final_norm: tuple[Tensor, Tensor] | None  # weight and bias (D,), or None
    fingerprint: str  # sha256 of the weights, hex

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.embedding.device

    @property
    def dtype(self) -> torch.dtype:
        """What matrix products run in."""
        return self.embedding.dtype

    def to(self, device: torch.device | str, dtype: torch.dtype) -> UnitLM:
        """The same LM on another device, matrices in another dtype; shares what needs no change."""

        def move(name: str, tensor: Tensor) -> Tensor:
            return tensor.to(device, torch.float32 if "norm" in name else dtype)

        norm = self.final_norm
        return UnitLM(
            architecture=self.architecture,
            embedding=self.embedding.to(device, dtype),
            layers=tuple(Layer(**{n: move(n, t) for n, t in layer._asdict().items()}) for layer in self.layers),
            final_norm=None if norm is None else (norm[0].to(device), norm[1].to(device)),
            fingerprint=self.fingerprint,
        )

    def tensors(self) -> dict[str, Tensor]:
        """All weights by name, as `from_tensors` takes them."""
        named = {"embedding": self.embedding}
        for i, layer in enumerate(self.layers):
            named |= {f"layers.{i}.{name}": tensor for name, tensor in layer._asdict().items()}
        if self.final_norm is not None:
            named |= {"final_norm_weight": self.final_norm[0], "final_norm_bias": self.final_norm[1]}
        return named

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
        layers = tuple(
            Layer(**{name: tensors[f"layers.{i}.{name}"] for name in Layer._fields})
            for i in range(architecture.layers)
        )
        norm = (tensors["final_norm_weight"], tensors["final_norm_bias"]) if architecture.final_norm else None
        return cls(architecture, tensors["embedding"], layers, norm, fingerprint)


def expected_shapes(architecture: Architecture) -> dict[str, tuple[int, ...]]:
    """The name and shape of every weight of a unit LM of this architecture."""
    d, f = architecture.embed_dim, architecture.ffn_embed_dim
    layer = {
        "attn_norm_weight": (d,), "attn_norm_bias": (d,), "qkv_weight": (3 * d, d), "qkv_bias": (3 * d,),
        "out_weight": (d, d), "out_bias": (d,), "ffn_norm_weight": (d,), "ffn_norm_bias": (d,),
        "fc1_weight": (f, d), "fc1_bias": (f,), "fc2_weight": (d, f), "fc2_bias": (d,),
    }  # fmt: skip
    shapes: dict[str, tuple[int, ...]] = {"embedding": (architecture.vocab_size, d)}
    for i in range(architecture.layers):
        shapes |= {f"layers.{i}.{name}": shape for name, shape in layer.items()}
    if architecture.final_norm:
        shapes |= {"final_norm_weight": (d,), "final_norm_bias": (d,)}
    return shapes


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
