"""K trials, one pass over a batch: the unit LM with every trial's prompts, computing only what reaches a loss.

Up to a chunk's lowest prompted layer the source is the same for all trials and needs no gradient (the trunk); a deep
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

from sp_search.engine.attention import (
    Part,
    additive,
    attend,
    attend_above,
    attend_last,
    attend_source,
    merge_heads,
    split_heads,
)
from sp_search.engine.bank import Prefix, TrialPrompt, prefixes
from sp_search.engine.layers import finish_layer, project
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
    x, tail_mask = _embed_tail(weights, block, prompts, answers)  # (K, B, A, D), (K or 1, B or 1, 1, A, A)
    scored = answers.depth.numel() + answers.asks_separator
    masks = tail_mask, tail_mask
    if first < layers - 1:
        masks = tail_mask, _whole_mask(source_mask(block, weights.dtype), trunk.padding, tail_mask)
    attention = _Attention(weights, trunk, first, *masks, read)
    for level, (layer, prefix) in enumerate(zip(weights.layers, prefixes(weights, prompts), strict=True)):
        x, mixed = attention(x, level, prefix, scored if level == layers - 1 else None)
        x = finish_layer(x, mixed, layer)
    x = F.layer_norm(x, x.shape[-1:]) if weights.normed else x
    return F.linear(x, *weights.projection).float()


def _chunk_level(prompts: Sequence[TrialPrompt], layers: int) -> int:
    levels = [prompt.first_live_layer for prompt in prompts]
    return min(layers if level is None else level for level in levels)


@dataclass(frozen=True)
class _Attention:
    """What rows take in, layer by layer: the tail's alone, with the source's from the lowest prompted layer on."""

    weights: FrozenWeights
    trunk: Trunk
    first: int  # the lowest prompted layer; L where the source sees no prompt
    tail_mask: Tensor  # (K or 1, B or 1, 1, A, A)
    whole_mask: Tensor  # (K or 1, B, 1, T, T)
    read: list[list[Part]] | None

    def __call__(self, x: Tensor, level: int, prefix: Prefix | None, scored: int | None) -> tuple[Tensor, Tensor]:
        """The rows that leave a layer, as they enter it, and what they take in there.

        Args:
            x: (K, B, A, D) up to the lowest prompted layer, (K, B, T, D) above.
            level: the layer's number.
            prefix: of the layer.
            scored: in the last layer, how many rows at the end are wanted.
        """
        if level > self.first:
            return self._whole(x, level, prefix, scored or x.shape[2])
        tail, mixed = self._tail(x, level, prefix, scored or x.shape[2])
        if level < self.first:
            return tail, mixed
        columns = self.trunk.entries[level].state.shape[1]
        wanted = columns if scored is None else max(0, scored - x.shape[2])  # the row before `<s>` at most
        source, taken = self._source(len(x), level, prefix, wanted)
        return torch.cat([source, tail], dim=2), torch.cat([taken, mixed], dim=2)

    def _tail(self, x: Tensor, level: int, prefix: Prefix | None, rows: int) -> tuple[Tensor, Tensor]:
        """The tail's last rows on the prefix, the source and the tail."""
        query, key, value = split_heads(project(x, self.weights.layers[level]), self.weights)  # (K, B, H, A, d)
        trunk = self.trunk
        past = [*_prefix_part(prefix), (trunk.keys[level][None], trunk.values[level][None], trunk.padding[None])]
        self._tell(past, key, value, self.tail_mask)
        mixed = attend(query[..., -rows:, :], [*past, (key, value, self.tail_mask[..., -rows:, :])])
        return x[:, :, -rows:], merge_heads(mixed)

    def _source(self, trials: int, level: int, prefix: Prefix | None, rows: int) -> tuple[Tensor, Tensor]:
        """The source's last rows on the prefix and the source, for every trial."""
        entry = self.trunk.entries[level]
        start = entry.state.shape[1] - rows
        source, mixed = (t[:, start:].expand(trials, -1, -1, -1) for t in (entry.state, entry.mixed))
        if prefix is None:
            return source, mixed
        return source, attend_source(entry.query[:, start:], entry.mixed[:, start:], entry.log_sum[:, start:], prefix)

    def _whole(self, x: Tensor, level: int, prefix: Prefix | None, rows: int) -> tuple[Tensor, Tensor]:
        """The last of all rows on the prefix and on all rows."""
        layer, heads = self.weights.layers[level], self.weights.architecture.attention_heads
        length, width = x.shape[2:]
        if self.read is None and rows * (width + length * heads) < length * (width + rows):  # work of both forms
            return x[:, :, -rows:], attend_last(x, prefix, self.whole_mask, layer, self.weights, rows)
        projected = project(x, layer)  # (K, B, T, 3D)
        self._tell(_prefix_part(prefix), *split_heads(projected, self.weights)[1:], self.whole_mask)
        return x[:, :, -rows:], attend_above(projected, prefix, self.whole_mask, self.weights, rows)

    def _tell(self, past: list[Part], key: Tensor, value: Tensor, mask: Tensor) -> None:
        if self.read is not None:
            self.read.append([*past, (key, value, mask[..., -1:, :])])


def _prefix_part(prefix: Prefix | None) -> list[Part]:
    if prefix is None:
        return []
    hidden = None
    if prefix.hidden is not None:
        hidden = additive(prefix.hidden, prefix.keys.dtype)[:, None, None, None, :]  # (K, 1, 1, 1, P)
    return [(prefix.keys[:, None], prefix.values[:, None], hidden)]


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
    if prompts[0].tensors.infix is None:
        return torch.cat([start, behind], dim=2), _tail_mask(answers, 0, None, weights.dtype)
    lead, absent = _lead(weights, prompts, answers.asks_separator)
    tail = torch.cat([lead.expand(-1, batch, -1, -1), start, behind], dim=2)
    return tail, _tail_mask(answers, lead.shape[2], absent, weights.dtype)


def _lead(
    weights: FrozenWeights, prompts: Sequence[TrialPrompt], asks_separator: bool
) -> tuple[Tensor, Tensor | None]:
    """The infix, (K, 1, rows, D), and which of its rows no row may attend to, (K, rows)."""
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
