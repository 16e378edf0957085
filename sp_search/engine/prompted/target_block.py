"""The target block after the source (an infix, `<s>` and the answers) for K trials, and its mask.

K trials   B utterances   S source columns   A target rows   M answer tokens   P infix rows   T = S + A
D embedding size
"""

from __future__ import annotations

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
    """The tokens after `<s>`: one answer per utterance in training, or all legal answers as a tree.

    Column 0 is `<s>`; column j > 0 holds token j - 1, `depth[j]` positions after `<s>`.
    """

    tokens: Tensor  # (K, B, M) or (K, 1, M), int64
    depth: Tensor  # (1 + M,), int64; depth[0] = 0
    visible: Tensor  # (1 + M, 1 + M), bool: [row, column] True where the row sees the column
    predicts_separator: bool  # whether the row before `<s>`, which predicts it, is scored


def embed_targets(
    weights: FoldedWeights, block: SourceBatch, prompts: Sequence[TrialPrompt], target: TargetBlock
) -> tuple[Tensor, Tensor, Tensor]:
    """The embeddings of the target rows, the mask to add to their scores on each other, and their positions.

    Returns:
        (K, B, A, D); (K or 1, B or 1, 1, A, A); (K or 1, B, A), int64, without those of rows that have no position.
    """
    trials, batch = len(prompts), len(block.units)
    separators = torch.stack([prompt.tensors.separator for prompt in prompts])[:, None, None]
    separators = separators * weights.architecture.token_scale
    at = block.first_position + 1 + block.units[:, None] + target.depth  # (B, 1 + M)
    at, infix_at = _positions_behind_infix(weights, prompts, at)
    start = separators.to(weights.dtype).expand(-1, batch, -1, -1)  # (K, B, 1, D)
    behind = weights.tokens[target.tokens].expand(trials, batch, -1, -1)  # (K, B, M, D)
    if weights.positions is not None:
        marks = weights.positions[at]  # (B, 1 + M, D) or (K, B, 1 + M, D)
        start, behind = start + marks[..., :1, :], behind + marks[..., 1:, :]
    infixes = [prompt.tensors.infix for prompt in prompts if prompt.tensors.infix is not None]
    if not infixes:
        return torch.cat([start, behind], dim=2), _target_mask(target, 0, None, weights.dtype), at[None]
    hidden: Tensor | None
    if prompts[0].is_infix:
        rows, hidden = _deep_infix_rows(infixes, int(target.predicts_separator))
    else:
        rows, hidden = _input_infix_rows(infixes)
    infix = rows.to(weights.dtype)[:, None].expand(-1, batch, -1, -1)  # (K, B, P, D)
    if infix_at is not None:
        infix_at = infix_at[..., infix_at.shape[-1] - rows.shape[1] :]
        at = torch.cat([infix_at, at], dim=-1)  # (K, B, A)
        infix = infix if weights.positions is None else infix + weights.positions[infix_at]
    mask = _target_mask(target, rows.shape[1], hidden, weights.dtype)
    return torch.cat([infix, start, behind], dim=2), mask, at if at.dim() == 3 else at[None]


def _positions_behind_infix(
    weights: FoldedWeights, prompts: Sequence[TrialPrompt], at: Tensor
) -> tuple[Tensor, Tensor | None]:
    """The positions of `<s>` and what follows it, and those of the infix rows before it, if infixes take positions.

    Args:
        weights: the LM's.
        prompts: K, all with an infix or none.
        at: the positions without an infix, (B, 1 + M).

    Returns:
        (B, 1 + M) and None; or (K, B, 1 + M) and (K, B, P), which end right before them. Rows that pad a shorter
        infix in front get some legal position.
    """
    lengths = [prompt.rows_before_separator for prompt in prompts]
    if not weights.architecture.prompts_take_positions or not any(lengths):
        return at, None
    behind = at + onto(at.device, torch.tensor(lengths))[:, None, None]  # (K, B, 1 + M)
    infix = behind[..., :1] - torch.arange(max(lengths), 0, -1, device=at.device)  # (K, B, P)
    return behind, infix.clamp_min(FIRST_POSITION)


def _deep_infix_rows(infixes: Sequence[Tensor], count: int) -> tuple[Tensor, Tensor]:
    """The last `count` rows (0 or 1) of each infix, (K, count, D), and the mask that hides them, (K, count).

    The row is only needed to predict `<s>`. The keys and values of all infix positions come from the deep prompt.
    """
    rows = torch.stack([infix[len(infix) - count :] for infix in infixes])
    return rows, rows.new_ones(len(infixes), count, dtype=torch.bool)


def _input_infix_rows(infixes: Sequence[Tensor]) -> tuple[Tensor, Tensor | None]:
    """All rows, padded in front to the longest, (K, P, D), and the mask of the padding, (K, P), or None."""
    longest = max(len(infix) for infix in infixes)
    rows = torch.stack([F.pad(infix, (0, 0, longest - len(infix), 0)) for infix in infixes])
    pads = [longest - len(infix) for infix in infixes]
    starts = onto(rows.device, torch.tensor(pads))
    is_padding = torch.arange(longest, device=rows.device) < starts[:, None]
    return rows, is_padding if any(pads) else None


def _target_mask(target: TargetBlock, infix: int, hidden: Tensor | None, dtype: torch.dtype) -> Tensor:
    """The mask to add to the scores of target rows on each other.

    Args:
        target: the tokens after the infix.
        infix: P, the number of infix rows.
        hidden: (K, P), bool, infix rows that no row sees; None if all are seen.
        dtype: of the mask.

    Returns:
        (K, 1, 1, A, A), or (1, 1, 1, A, A) if it is the same for all trials.
    """
    rows = infix + len(target.depth)
    visible = torch.ones(rows, rows, dtype=torch.bool, device=target.visible.device).tril()
    visible[infix:, infix:] = target.visible
    if hidden is None:
        return additive(~visible, dtype)[None, None, None]
    masked = (~visible).repeat(len(hidden), 1, 1)  # (K, A, A)
    masked[:, :, :infix] |= hidden[:, None, :]
    return additive(masked, dtype)[:, None, None]


def whole_mask(mask: Tensor, padding: Tensor, target_mask: Tensor) -> Tensor:
    """The mask to add to the scores of source and target rows on the prompt and on each other.

    Source rows see the source; target rows see the source and their own past; pads see themselves.

    Args:
        mask: `source_mask`, (B, 1, S, S).
        padding: `source_padding`, (B, 1, 1, S).
        target_mask: of `embed_targets`.

    Returns:
        (K or 1, B, 1, T, 1 + T). Column 0 is the prompt's; rows that are not padding see the prompt.
    """
    source, target = mask.shape[-1], target_mask.shape[-1]
    whole = mask.new_full((len(target_mask), len(mask), 1, source + target, 1 + source + target), -torch.inf)
    whole[..., :source, 0] = padding[..., 0, :]
    whole[..., source:, 0] = 0
    on_each_other = whole[..., 1:]
    on_each_other[..., :source, :source] = mask
    on_each_other[..., source:, :source] = padding
    on_each_other[..., source:, source:] = target_mask
    return whole
