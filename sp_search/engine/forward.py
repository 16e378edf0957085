"""K trials, one pass over a batch: the unit LM with every trial's prompts, computing only what reaches a loss.

Below a chunk's lowest prompted layer the source is the same for all trials and needs no gradient (the trunk); a deep
prompt has no rows of its own; the last layer asks only at scored rows (method.md, "Savings" 1, 5, 6).

K trials in the chunk   B utterances   S source columns   A tail rows   T = S + A   P prompt positions
L layers   H heads   d head width   D embedding size   V vocabulary
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sp_search.engine.bank import Prefix, TrialPrompt, prefixes
from sp_search.engine.layers import Part, additive, decoder_layer, project, split_heads
from sp_search.engine.layout import FIRST_POSITION, SourceBlock, onto
from sp_search.engine.trunk import Trunk, source_mask
from sp_search.engine.weights import FrozenWeights


@dataclass(frozen=True)
class Answers:
    """What stands behind `<s>`: one answer an utterance while training, or every legal answer as a tree.

    Column 0 is `<s>`; column j > 0 holds token j - 1, at `depth[j]` places behind `<s>`.
    """

    tokens: Tensor  # (K, B, M) or (K, 1, M), int64
    depth: Tensor  # (1 + M,), int64; depth[0] = 0
    visible: Tensor  # (1 + M, 1 + M), bool: [row, column] True where the row's past holds the column
    asks_separator: bool  # whether what stands before `<s>` is asked for it


def tail_logits(
    weights: FrozenWeights,
    block: SourceBlock,
    trunk: Trunk,
    prompts: Sequence[TrialPrompt],
    answers: Answers,
    read: list[list[Part]] | None = None,
) -> Tensor:
    """What the LM expects behind the row before `<s>`, where that is asked, behind `<s>` and each answer token.

    Trials of one chunk agree in `max_source_units`, in prompt position and in whether the prompt is deep; they may
    differ in prompt length, in depth and side, and in everything else.

    Args:
        weights: the frozen LM.
        block: the batch's sources, laid out for the prompt position.
        trunk: `run_trunk` of that block, for a level at or below every trial's own.
        prompts: K trials' prompts.
        answers: what stands behind `<s>`.
        read: takes, layer by layer, the columns that the last row reads; a row behind it reads them and itself.

    Returns:
        (K, B, asks_separator + 1 + M, V), float32. Of the last 1 + M rows, row 0 is what follows `<s>` and row j what
        follows token j; a row before them predicts `<s>`.
    """
    layers = weights.architecture.layers
    first = _chunk_level(prompts, layers)
    tail, tail_mask = _embed_tail(weights, block, prompts, answers)  # (K, B, A, D), (K or 1, B or 1, 1, A, A)
    scored = answers.depth.numel() + answers.asks_separator
    by_layer = prefixes(weights, prompts)
    whole_mask = tail_mask
    if first < layers:
        whole_mask = _whole_mask(source_mask(block, weights.dtype), trunk.padding, tail_mask)
    x = tail
    for level, (layer, prefix) in enumerate(zip(weights.layers, by_layer, strict=True)):
        past = [_prefix_part(prefix)] if prefix is not None else []
        mask = tail_mask if level < first else whole_mask
        projected = project(x, layer)  # (K, B, A or T, 3D)
        if level < first:
            past.append((trunk.keys[level][None], trunk.values[level][None], trunk.padding[None]))
        elif level == first:
            projected = torch.cat([_expand(trunk.projected[level], x), projected], dim=2)  # (K, B, T, 3D)
            x = torch.cat([_expand(trunk.states[level], x), x], dim=2)  # (K, B, T, D)
        if read is not None:
            _, key, value = split_heads(projected, weights)
            read.append([*past, (key, value, mask[..., -1:, :])])
        x = decoder_layer(x, projected, layer, weights, past, mask, scored if level == layers - 1 else None)
    x = x[:, :, -scored:]
    x = F.layer_norm(x, x.shape[-1:]) if weights.normed else x
    return F.linear(x, *weights.projection).float()


def _chunk_level(prompts: Sequence[TrialPrompt], layers: int) -> int:
    levels = [prompt.first_live_layer for prompt in prompts]
    return min(layers if level is None else level for level in levels)


def _expand(source: Tensor, x: Tensor) -> Tensor:
    """A trunk tensor (B, S, D') for each of the K trials of x."""
    return source.expand(len(x), -1, -1, -1)


def _prefix_part(prefix: Prefix) -> Part:
    hidden = None
    if prefix.hidden is not None:
        hidden = additive(prefix.hidden, prefix.keys.dtype)[:, None, None, None, :]  # (K, 1, 1, 1, P)
    return prefix.keys[:, None], prefix.values[:, None], hidden


def _embed_tail(
    weights: FrozenWeights, block: SourceBlock, prompts: Sequence[TrialPrompt], answers: Answers
) -> tuple[Tensor, Tensor]:
    """The tail's embeddings (K, B, A, D) and what is added to its scores on itself."""
    trials, batch = len(prompts), len(block.units)
    scale = math.sqrt(weights.architecture.embed_dim)
    separators = torch.stack([prompt.tensors.separator for prompt in prompts])[:, None, None] * scale
    marks = weights.positions[FIRST_POSITION + 1 + block.units[:, None] + answers.depth]  # (B, 1 + M, D)
    behind = weights.tokens[answers.tokens].expand(trials, batch, -1, -1) + marks[:, 1:]
    start = separators.to(weights.dtype) + marks[:, :1]  # (K, B, 1, D)
    lead, absent = _lead(weights, block, prompts, answers.asks_separator)
    tail = torch.cat([lead.expand(trials, batch, -1, -1), start, behind], dim=2)
    return tail, _tail_mask(answers, lead.shape[2], absent, weights.dtype)


def _lead(
    weights: FrozenWeights, block: SourceBlock, prompts: Sequence[TrialPrompt], asks_separator: bool
) -> tuple[Tensor, Tensor | None]:
    """The rows before `<s>`: the last unit, or the infix; and which of them no row may attend to, (K, rows)."""
    if prompts[0].tensors.infix is None:
        last = weights.tokens[block.last_unit] + weights.positions[FIRST_POSITION + block.units]
        return last[None, :, None], None
    rows = [prompt.tensors.infix for prompt in prompts if prompt.tensors.infix is not None]
    if prompts[0].is_infix:  # its last row may ask for `<s>`; the deep prompt stands for the keys and values of all
        asking = int(asks_separator)
        lead = torch.stack([row[len(row) - asking :] for row in rows])[:, None].to(weights.dtype)
        return lead, lead.new_ones(len(rows), asking, dtype=torch.bool)
    longest = max(len(row) for row in rows)
    lead = torch.stack([F.pad(row, (0, 0, longest - len(row), 0)) for row in rows])
    shorter = [longest - len(row) for row in rows]
    starts = onto(lead.device, torch.tensor(shorter))
    absent = torch.arange(longest, device=lead.device) < starts[:, None]
    return lead[:, None].to(weights.dtype), absent if any(shorter) else None


def _tail_mask(answers: Answers, lead: int, absent: Tensor | None, dtype: torch.dtype) -> Tensor:
    rows = lead + len(answers.depth)
    visible = torch.ones(rows, rows, dtype=torch.bool, device=answers.visible.device).tril()
    visible[lead:, lead:] = answers.visible
    if absent is None:
        return additive(~visible, dtype)[None, None, None]  # (1, 1, 1, A, A)
    masked = (~visible).repeat(len(absent), 1, 1)  # (K, A, A)
    masked[:, :, :lead] |= absent[:, None, :]
    return additive(masked, dtype)[:, None, None]  # (K, 1, 1, A, A)


def _whole_mask(mask: Tensor, padding: Tensor, tail_mask: Tensor) -> Tensor:
    """(K or 1, B, 1, T, T): source rows see the source, tail rows see the source and their own past."""
    source, tail = mask.shape[-1], tail_mask.shape[-1]
    whole = mask.new_full((len(tail_mask), len(mask), 1, source + tail, source + tail), -torch.inf)
    whole[..., :source, :source] = mask
    whole[..., source:, :source] = padding
    whole[..., source:, source:] = tail_mask
    return whole
