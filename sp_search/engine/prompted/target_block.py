"""What stands behind the source: an infix, `<s>` and the answers, for K trials, and what its rows may see.

K trials in the chunk   B utterances   A tail rows   M answer tokens   T rows of source and tail   D embedding size
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sp_search.engine.batch.collate import FIRST_POSITION, SourceBatch, onto
from sp_search.engine.prompted.prompt_kv import TrialPrompt
from sp_search.engine.transformer.attention import additive
from sp_search.engine.transformer.folded_weights import FoldedWeights


@dataclass(frozen=True)
class TargetBlock:
    """What stands behind `<s>`: one answer an utterance while training, or every legal answer as a tree.

    Column 0 is `<s>`; column j > 0 holds token j - 1, at `depth[j]` places behind `<s>`.
    """

    tokens: Tensor  # (K, B, M) or (K, 1, M), int64
    depth: Tensor  # (1 + M,), int64; depth[0] = 0
    visible: Tensor  # (1 + M, 1 + M), bool: [row, column] True where the row's past holds the column
    predicts_separator: bool  # whether what stands before `<s>` is asked for it


def embed_targets(
    weights: FoldedWeights, block: SourceBatch, prompts: Sequence[TrialPrompt], answers: TargetBlock
) -> tuple[Tensor, Tensor]:
    """The tail's embeddings (K, B, A, D) and what is added to its scores on itself."""
    trials, batch = len(prompts), len(block.units)
    scale = math.sqrt(weights.architecture.embed_dim)
    separators = torch.stack([prompt.tensors.separator for prompt in prompts])[:, None, None] * scale
    marks = weights.positions[FIRST_POSITION + 1 + block.units[:, None] + answers.depth]  # (B, 1 + M, D)
    behind = weights.tokens[answers.tokens].expand(trials, batch, -1, -1) + marks[:, 1:]
    start = separators.to(weights.dtype) + marks[:, :1]  # (K, B, 1, D)
    if prompts[0].tensors.infix is None:
        return torch.cat([start, behind], dim=2), _target_mask(answers, 0, None, weights.dtype)
    lead, absent = _lead(weights, prompts, answers.predicts_separator)
    tail = torch.cat([lead.expand(-1, batch, -1, -1), start, behind], dim=2)
    return tail, _target_mask(answers, lead.shape[2], absent, weights.dtype)


def _lead(
    weights: FoldedWeights, prompts: Sequence[TrialPrompt], predicts_separator: bool
) -> tuple[Tensor, Tensor | None]:
    """The infix, (K, 1, rows, D), and which of its rows no row may attend to, (K, rows)."""
    rows = [prompt.tensors.infix for prompt in prompts if prompt.tensors.infix is not None]
    if prompts[0].is_infix:  # its last row may ask for `<s>`; the deep prompt stands for the keys and values of all
        asking = int(predicts_separator)
        lead = torch.stack([row[len(row) - asking :] for row in rows])[:, None].to(weights.dtype)
        return lead, lead.new_ones(len(rows), asking, dtype=torch.bool)
    longest = max(len(row) for row in rows)
    lead = torch.stack([F.pad(row, (0, 0, longest - len(row), 0)) for row in rows])
    shorter = [longest - len(row) for row in rows]
    starts = onto(lead.device, torch.tensor(shorter))
    absent = torch.arange(longest, device=lead.device) < starts[:, None]
    return lead[:, None].to(weights.dtype), absent if any(shorter) else None


def _target_mask(answers: TargetBlock, lead: int, absent: Tensor | None, dtype: torch.dtype) -> Tensor:
    rows = lead + len(answers.depth)
    visible = torch.ones(rows, rows, dtype=torch.bool, device=answers.visible.device).tril()
    visible[lead:, lead:] = answers.visible
    if absent is None:
        return additive(~visible, dtype)[None, None, None]  # (1, 1, 1, A, A)
    masked = (~visible).repeat(len(absent), 1, 1)  # (K, A, A)
    masked[:, :, :lead] |= absent[:, None, :]
    return additive(masked, dtype)[:, None, None]  # (K, 1, 1, A, A)


def whole_mask(mask: Tensor, padding: Tensor, target_mask: Tensor) -> Tensor:
    """(K or 1, B, 1, T, 1 + T): source rows see the source, tail rows the source and their own past, pads themselves.

    Column 0 is for all positions of a prefix, which rows see that are no pads.
    """
    source, tail = mask.shape[-1], target_mask.shape[-1]
    whole = mask.new_full((len(target_mask), len(mask), 1, source + tail, 1 + source + tail), -torch.inf)
    whole[..., :source, 0] = padding[..., 0, :]
    whole[..., source:, 0] = 0
    own = whole[..., 1:]
    own[..., :source, :source] = mask
    own[..., source:, :source] = padding
    own[..., source:, source:] = target_mask
    return whole
