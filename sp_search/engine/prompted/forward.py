"""K trials, one pass over a batch: the unit LM with every trial's prompts, computing only what reaches a loss.

Up to a chunk's lowest prompted layer the source is the same for all trials and needs no gradient (the trunk); a deep
prompt has no rows of its own; the last layer asks only at scored rows (method.md, "Savings" 1, 5, 6).

K trials in the chunk   B utterances   S source columns   A tail rows   T = S + A   P prompt positions
L layers   H heads   d head width   D embedding size   V vocabulary
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sp_search.engine.batch.collate import SourceBatch
from sp_search.engine.batch.unpad import Unpadding
from sp_search.engine.prompted.prompt_kv import TrialPrompt, prompt_kv_by_layer
from sp_search.engine.prompted.source_states import SourceStates, source_mask
from sp_search.engine.prompted.target_block import TargetBlock, embed_targets, whole_mask
from sp_search.engine.transformer.attention import Part, PromptKV, additive, attend, attend_last, attend_source
from sp_search.engine.transformer.decoder_layer import finish_layer, merge_heads, project, split_heads
from sp_search.engine.transformer.folded_weights import FoldedWeights
from sp_search.engine.transformer.packed_attention import attend_above


def target_logits(
    weights: FoldedWeights,
    block: SourceBatch,
    trunk: SourceStates,
    prompts: Sequence[TrialPrompt],
    answers: TargetBlock,
    read: list[list[Part]] | None = None,
) -> Tensor:
    """What the LM expects behind the row before `<s>`, where that is asked, behind `<s>` and each answer token.

    Trials of one chunk agree in `max_source_units`, in prompt position and in whether the prompt is deep; they may
    differ in prompt length, in depth and side, and in everything else.

    Args:
        weights: the frozen LM.
        block: the batch's sources, laid out for the prompt position.
        trunk: `run_source` of that block, for a level at or below every trial's own.
        prompts: K trials' prompts.
        answers: what stands behind `<s>`.
        read: takes, layer by layer, the columns that the last row reads; a row behind it reads them and itself.

    Returns:
        (K, B, asks_separator + 1 + M, V), float32. Of the last 1 + M rows, row 0 is what follows `<s>` and row j what
        follows token j; a row before them predicts `<s>`.
    """
    layers = weights.architecture.layers
    first = _chunk_level(prompts, layers)
    x, target_mask = embed_targets(weights, block, prompts, answers)  # (K, B, A, D), (K or 1, B or 1, 1, A, A)
    scored = answers.depth.numel() + answers.predicts_separator
    rows, mask = None, target_mask
    if first < layers - 1:
        rows = _rows(block, x.shape[2])
        mask = whole_mask(source_mask(block, weights.dtype), trunk.padding, target_mask)
    attention = _Attention(weights, trunk, first, target_mask, mask, rows, read)
    for level, (layer, prefix) in enumerate(zip(weights.layers, prompt_kv_by_layer(weights, prompts), strict=True)):
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

    weights: FoldedWeights
    trunk: SourceStates
    first: int  # the lowest prompted layer; L where the source sees no prompt
    target_mask: Tensor  # (K or 1, B or 1, 1, A, A)
    whole_mask: Tensor  # (K or 1, B, 1, T, 1 + T), `attend_above`'s
    rows: Unpadding | None  # of the batch from there on; None where that is the last layer, or none
    read: list[list[Part]] | None

    def __call__(self, x: Tensor, level: int, prefix: PromptKV | None, scored: int | None) -> tuple[Tensor, Tensor]:
        """The rows that leave a layer, as they enter it, and what they take in there.

        Args:
            x: (K, B, A, D) up to the lowest prompted layer, (K, N, D) above: rows that are no pads.
            level: the layer's number.
            prefix: of the layer.
            scored: in the last layer, how many rows at the end are wanted.
        """
        if level > self.first:
            return self._whole(x, level, prefix, scored)
        tail, mixed = self._tail(x, level, prefix, scored or x.shape[2])
        if level < self.first:
            return tail, mixed
        columns = self.trunk.entries[level].state.shape[1]
        wanted = columns if scored is None else max(0, scored - x.shape[2])  # the row before `<s>` at most
        source, taken = self._source(len(x), level, prefix, wanted)
        whole = torch.cat([source, tail], dim=2), torch.cat([taken, mixed], dim=2)
        return whole if self.rows is None else (self.rows.pack(whole[0]), self.rows.pack(whole[1]))

    def _tail(self, x: Tensor, level: int, prefix: PromptKV | None, rows: int) -> tuple[Tensor, Tensor]:
        """The tail's last rows on the prefix, the source and the tail."""
        layer = self.weights.layers[level]
        query, key, value = split_heads(project(x, layer), layer)  # (K, B, H, A, d)
        trunk = self.trunk
        past = [*_prefix_part(prefix), (trunk.keys[level][None], trunk.values[level][None], trunk.padding[None])]
        self._record(past, key, value, self.target_mask)
        mixed = attend(query[..., -rows:, :], [*past, (key, value, self.target_mask[..., -rows:, :])])
        return x[:, :, -rows:], merge_heads(mixed)

    def _source(self, trials: int, level: int, prefix: PromptKV | None, rows: int) -> tuple[Tensor, Tensor]:
        """The source's last rows on the prefix and the source, for every trial."""
        entry = self.trunk.entries[level]
        start = entry.state.shape[1] - rows
        source, mixed = (t[:, start:].expand(trials, -1, -1, -1) for t in (entry.state, entry.mixed))
        if prefix is None:
            return source, mixed
        return source, attend_source(entry.query[:, start:], entry.mixed[:, start:], entry.log_sum[:, start:], prefix)

    def _whole(self, x: Tensor, level: int, prefix: PromptKV | None, scored: int | None) -> tuple[Tensor, Tensor]:
        """All rows on the prefix and on each other; of the last layer the scored ones, (K, B, scored, D)."""
        assert self.rows is not None
        layer, rows, among = self.weights.layers[level], self.rows, self.whole_mask[..., 1:]
        if scored is not None and self.read is None and self._is_cheaper(scored):
            padded = rows.pad(x)
            return padded[:, :, -scored:], attend_last(padded, prefix, among, layer, scored)
        projected = project(x, layer)  # (K, N, 3D)
        if self.read is not None:
            self._record(_prefix_part(prefix), *split_heads(rows.pad(projected), layer)[1:], among)
        mixed = attend_above(projected, rows, prefix, self.whole_mask, layer)
        if scored is None:
            return x, mixed
        return rows.pad(x)[:, :, -scored:], rows.pad(mixed)[:, :, -scored:]

    def _is_cheaper(self, scored: int) -> bool:
        """Whether so few rows ask that their way to keys and values is shorter than that of all rows, in products."""
        architecture, length = self.weights.architecture, self.whole_mask.shape[-2]
        width, heads = architecture.embed_dim, architecture.attention_heads
        return scored * (width + length * heads) < length * (width + scored)

    def _record(self, past: list[Part], key: Tensor, value: Tensor, mask: Tensor) -> None:
        if self.read is not None:
            self.read.append([*past, (key, value, mask[..., -1:, :])])


def _prefix_part(prefix: PromptKV | None) -> list[Part]:
    if prefix is None:
        return []
    hidden = None
    if prefix.hidden is not None:
        hidden = additive(prefix.hidden, prefix.keys.dtype)[:, None, None, None, :]  # (K, 1, 1, 1, P)
    return [(prefix.keys[:, None], prefix.values[:, None], hidden)]


def _rows(block: SourceBatch, tail: int) -> Unpadding:
    """Which rows of source and tail are no pads."""
    width = block.tokens.shape[1]
    return Unpadding.behind([width - columns for columns in block.columns], width + tail, block.tokens.device)
