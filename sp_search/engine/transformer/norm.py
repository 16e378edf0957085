"""The norms of an architecture: before a sublayer without their affine part, which is folded into the weights behind
it, or behind a sublayer's residual sum with it.

D embedding size   d head width
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from sp_search.lm.architecture import Architecture

Affine = tuple[Tensor, Tensor | None]
"""Weight and bias of a norm, each (D,)."""


def normalized(x: Tensor, architecture: Architecture, affine: Affine | None = None) -> Tensor:
    """Every row of (..., D) normed; without an affine part unless one is given."""
    weight, bias = affine if affine is not None else (None, None)
    if architecture.norm == "rms":
        return F.rms_norm(x, x.shape[-1:], _like(weight, x), architecture.norm_eps)
    return F.layer_norm(x, x.shape[-1:], _like(weight, x), _like(bias, x), architecture.norm_eps)


def sublayer_input(x: Tensor, architecture: Architecture) -> Tensor:
    """What attention or feed-forward reads of a layer's rows, (..., D)."""
    return normalized(x, architecture) if architecture.norm_before else x


def head_norm(x: Tensor, weight: Tensor, architecture: Architecture) -> Tensor:
    """RMS norm of each query or key, (..., d)."""
    return F.rms_norm(x, x.shape[-1:], _like(weight, x), architecture.norm_eps)


def _like(weight: Tensor | None, x: Tensor) -> Tensor | None:
    return None if weight is None else weight.to(x.dtype)
