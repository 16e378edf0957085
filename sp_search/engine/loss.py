"""Logits of the tail in, one loss per trial out.

K trials   B utterances   A scored rows: behind the lead, behind `<s>`, behind each answer token   V vocabulary
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from sp_search.errors import ShapeError
from sp_search.types import PAD


def scored_nll(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy at every scored row.

    Args:
        logits: (..., A, V), float32.
        targets: (..., A), int64; PAD where a row is not scored.

    Returns:
        (..., A), nats; 0 at rows that are not scored.

    Raises:
        ShapeError: no row is scored, so there is nothing to learn from.
    """
    if logits.shape[:-1] != targets.shape:
        raise ShapeError(f"targets: expected shape {tuple(logits.shape[:-1])}, got {tuple(targets.shape)}")
    flat = F.cross_entropy(logits.flatten(0, -2), targets.flatten(), ignore_index=PAD, reduction="none")
    return flat.view(targets.shape)


def apply_head(logits: Tensor, head: Tensor | None, dropout: float, generator: torch.Generator | None) -> Tensor:
    """A linear verbalizer on the LM's logits: (B, A, V) to (B, A, C + 4), with dropout behind it while training.

    Args:
        logits: of one trial, float32.
        head: (C + 4, V), or None where the verbalizer is a one-to-one map and logits stay as they are.
        dropout: 0 <= dropout < 1; 0 outside training.
        generator: on the logits' device.
    """
    if head is None:
        return logits
    mapped = F.linear(logits, head)
    return dropped(mapped, dropout, generator)


def dropped(x: Tensor, dropout: float, generator: torch.Generator | None) -> Tensor:
    """Dropout from a trial's own generator, so that a trial in a pack draws what it draws alone."""
    if dropout == 0:
        return x
    keep = torch.empty_like(x).bernoulli_(1 - dropout, generator=generator)
    return x * keep / (1 - dropout)
