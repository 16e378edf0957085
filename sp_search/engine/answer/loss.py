"""Logits of the target rows in, their cross-entropy out.

B utterances   A target rows   C label symbols   V vocabulary
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from sp_search.engine.answer.label_map import UNSCORED
from sp_search.errors import ShapeError


def scored_nll(logits: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Cross-entropy at every scored row.

    Args:
        logits: (..., A, V), float32.
        targets: (..., A), int64, columns; UNSCORED where a row is not scored.
        label_smoothing: share of the target that all V columns get alike, 0 to below 1.

    Returns:
        (..., A), nats; 0 at rows that are not scored.

    Raises:
        ShapeError: logits and targets are not of the same rows.
    """
    if logits.shape[:-1] != targets.shape:
        raise ShapeError(f"targets: expected shape {tuple(logits.shape[:-1])}, got {tuple(targets.shape)}")
    flat = F.cross_entropy(
        logits.flatten(0, -2),
        targets.flatten(),
        ignore_index=UNSCORED,
        reduction="none",
        label_smoothing=label_smoothing,
    )
    return flat.view(targets.shape)


def apply_head(logits: Tensor, head: Tensor | None, factors: Tensor | None = None) -> Tensor:
    """A linear verbalizer on the LM's logits: (B, A, V) to (B, A, C + 4), with dropout behind it while training.

    Args:
        logits: of one trial, float32.
        head: (C + 4, V), or None where the verbalizer is a one-to-one map and logits stay as they are.
        factors: (B, A, C + 4), of `dropout_factors`; None for no dropout.
    """
    if head is None:
        return logits
    mapped = F.linear(logits, head)
    return mapped if factors is None else mapped * factors


def dropout_factors(shape: Sequence[int], dropout: float, generator: torch.Generator) -> Tensor | None:
    """The factors of dropout, 0 or 1 / (1 - dropout), from a trial's own generator; None, undrawn, for no dropout.

    Drawn before the micro-batches of an update, so that a trial among others draws the same as alone.
    """
    if dropout == 0:
        return None
    keep = torch.empty(*shape, device=generator.device).bernoulli_(1 - dropout, generator=generator)
    return keep / (1 - dropout)
