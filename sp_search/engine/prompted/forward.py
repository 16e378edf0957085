"""Logits of K trials for one batch: the unit LM with every trial's prompt, for rows that affect the loss.

Up to the lowest prompted layer of these trials, the source is the same for all of them and needs no gradient
(`source_states.py`). A deep prompt has no rows of its own. The last layer computes the scored rows alone (method.md,
"Savings" 1, 5, 6).

K trials   B utterances   S source columns   A target rows   T = S + A   N rows of the batch without pads
P prompt positions   L layers   H heads   G key/value heads   d head width   D embedding size   V vocabulary
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sp_search.engine.batch.collate import FIRST_POSITION, SourceBatch
from sp_search.engine.batch.unpad import Unpadding
from sp_search.engine.prompted.prompt_kv import TrialPrompt, prompt_kv_by_layer
from sp_search.engine.prompted.source_states import SourceStates, source_mask
from sp_search.engine.prompted.target_block import TargetBlock, embed_targets, whole_mask
from sp_search.engine.transformer.attention import Part, PromptKV, additive, attend, attend_last, attend_source
from sp_search.engine.transformer.decoder_layer import merge_heads, project, run_layers, split_heads
from sp_search.engine.transformer.embedding import output_logits
from sp_search.engine.transformer.folded_weights import FoldedWeights
from sp_search.engine.transformer.packed_attention import attend_above
from sp_search.engine.transformer.rotary import Rotation, rotation_at


def target_logits(
    weights: FoldedWeights,
    block: SourceBatch,
    source: SourceStates,
    prompts: Sequence[TrialPrompt],
    target: TargetBlock,
    read: list[list[Part]] | None = None,
) -> Tensor:
    """The logits for the token after `<s>`, after each target token and, if it is scored, for `<s>` itself.

    All trials have the same `max_source_units` and prompt position, and all prompts are deep or none is. The trials
    may differ in everything else, including prompt length, depth and side.

    Args:
        weights: the frozen LM.
        block: the batch's sources.
        source: `run_source` of that block, with the `source_levels` of these trials.
        prompts: K trials' prompts.
        target: the tokens after `<s>`.
        read: filled, layer by layer, with the columns that the last row reads. The next row reads these and itself.

    Returns:
        (K, B, predicts_separator + 1 + M, V), float32. Row 0 of the last 1 + M rows predicts the token after `<s>`,
        row j the token after token j. The row before them, if there is one, predicts `<s>`.
    """
    layers = weights.architecture.layers
    rows, target_mask, positions = embed_targets(weights, block, prompts, target)
    lowest = _lowest_prompted_layer(prompts, layers)
    has_layers_above = lowest < layers - 1
    attention = _Attention(
        weights=weights,
        source=source,
        prefixes=prompt_kv_by_layer(weights, prompts),
        lowest=lowest,
        scored=target.depth.numel() + target.predicts_separator,
        target_mask=target_mask,
        whole_mask=whole_mask(source_mask(block, weights.dtype), source.padding, target_mask)
        if has_layers_above
        else None,
        unpadding=_unpadding(block, rows.shape[2]) if has_layers_above else None,
        target_rotation=rotation_at(weights, positions, FIRST_POSITION),
        whole_rotation=_whole_rotation(weights, block, positions) if has_layers_above else None,
        read=read,
    )
    return output_logits(run_layers(rows, weights.layers, attention), weights)


def _lowest_prompted_layer(prompts: Sequence[TrialPrompt], layers: int) -> int:
    """The lowest layer with a prompt of any trial; L if the source sees no prompt."""
    live = [prompt.first_live_layer for prompt in prompts]
    return min(layers if level is None else level for level in live)


@dataclass(frozen=True)
class _Attention:
    """The attention of every layer: of target rows, and from the lowest prompted layer on also of source rows."""

    weights: FoldedWeights
    source: SourceStates
    prefixes: list[PromptKV | None]  # by layer
    lowest: int  # the lowest prompted layer; L if the source sees no prompt
    scored: int  # rows needed from the last layer, counted from the end
    target_mask: Tensor  # (K or 1, B or 1, 1, A, A)
    whole_mask: (
        Tensor | None
    )  # (K or 1, B, 1, T, 1 + T), for `attend_above`; None if there are no layers above the lowest
    unpadding: Unpadding | None  # of source and target rows, the same
    target_rotation: Rotation | None  # of target rows; None for LMs that rotate nothing
    whole_rotation: Rotation | None  # of source and target rows, the same
    read: list[list[Part]] | None

    def __call__(self, x: Tensor, level: int) -> tuple[Tensor, Tensor]:
        """The attention of `run_layers`. x is (K, B, A, D) up to the lowest prompted layer, (K, N, D) above it."""
        if level < self.lowest:
            return self._attend_from_target(x, level)
        if level == self.lowest:
            return self._attend_and_join(x, level)
        return self._attend_from_all(x, level)

    def _is_last(self, level: int) -> bool:
        return level == len(self.weights.layers) - 1

    def _attend_from_target(self, target: Tensor, level: int) -> tuple[Tensor, Tensor]:
        """Target rows (K, B, A, D) attend to prefix, source and each other; in the last layer only scored rows."""
        layer, source = self.weights.layers[level], self.source
        query, key, value = split_heads(project(target, layer), layer, self.target_rotation)  # (K, B, H or G, A, d)
        source_part = source.keys[level][None], source.values[level][None], source.padding[None]
        past = [*_prefix_part(self.prefixes[level]), source_part]
        self._record(past, key, value, self.target_mask)
        rows = min(self.scored, target.shape[2]) if self._is_last(level) else target.shape[2]
        mixed = attend(query[..., -rows:, :], [*past, (key, value, self.target_mask[..., -rows:, :])])
        return target[:, :, -rows:], merge_heads(mixed)

    def _attend_and_join(self, target: Tensor, level: int) -> tuple[Tensor, Tensor]:
        """The lowest prompted layer: takes target rows (K, B, A, D), returns source and target rows (K, N, D).

        If it is the last layer, it returns the scored rows (K, B, scored, D). One of them may be the last source row.
        """
        source_rows = self.source.entries[level].state.shape[1]
        if self._is_last(level):
            source_rows = max(0, self.scored - target.shape[2])
        source, source_mixed = self._attend_from_source(len(target), level, source_rows)
        target, target_mixed = self._attend_from_target(target, level)
        rows = torch.cat([source, target], dim=2)  # (K, B, T, D)
        mixed = torch.cat([source_mixed, target_mixed], dim=2)
        if self.unpadding is None:
            return rows, mixed
        return self.unpadding.pack(rows), self.unpadding.pack(mixed)

    def _attend_from_source(self, trials: int, level: int, rows: int) -> tuple[Tensor, Tensor]:
        """The last rows of the source attend to the prefix and the source, for every trial: each (K, B, rows, D)."""
        entry, prefix = self.source.entries[level], self.prefixes[level]
        start = entry.state.shape[1] - rows
        state, mixed = (part[:, start:].expand(trials, -1, -1, -1) for part in (entry.state, entry.mixed))
        if prefix is None:
            return state, mixed
        return state, attend_source(entry.query[:, start:], entry.mixed[:, start:], entry.log_sum[:, start:], prefix)

    def _attend_from_all(self, rows: Tensor, level: int) -> tuple[Tensor, Tensor]:
        """All rows (K, N, D) attend to prefix and each other; in the last layer scored rows, (K, B, scored, D)."""
        assert self.unpadding is not None
        assert self.whole_mask is not None
        layer, prefix, on_each_other = self.weights.layers[level], self.prefixes[level], self.whole_mask[..., 1:]
        pad, is_last = self.unpadding.pad, self._is_last(level)
        has_plain_heads = self.weights.architecture.has_plain_heads
        if has_plain_heads and is_last and self.read is None and self._is_cheaper_without_keys():
            padded = pad(rows)  # (K, B, T, D)
            return padded[:, :, -self.scored :], attend_last(padded, prefix, on_each_other, layer, self.scored)
        projected = project(rows, layer)  # (K, N, (H + 2G) * d)
        if not has_plain_heads:
            return self._attend_from_padded(rows, projected, level)
        if self.read is not None:
            _, key, value = split_heads(pad(projected), layer, None)
            self._record(_prefix_part(prefix), key, value, on_each_other)
        mixed = attend_above(projected, self.unpadding, prefix, self.whole_mask, layer)  # (K, N, D)
        if not is_last:
            return rows, mixed
        return pad(rows)[:, :, -self.scored :], pad(mixed)[:, :, -self.scored :]

    def _attend_from_padded(self, rows: Tensor, projected: Tensor, level: int) -> tuple[Tensor, Tensor]:
        """The same for heads that are rotated, normed or shared; `projected` is `project` of the rows."""
        assert self.unpadding is not None
        assert self.whole_mask is not None
        layer, prefix, mask = self.weights.layers[level], _prefix_part(self.prefixes[level]), self.whole_mask
        query, key, value = split_heads(self.unpadding.pad(projected), layer, self.whole_rotation)
        self._record(prefix, key, value, mask[..., 1:])
        count = self.scored if self._is_last(level) else query.shape[-2]
        mask = mask[..., -count:, :]
        seen = [(k, v, mask[..., :1] if hidden is None else mask[..., :1] + hidden) for k, v, hidden in prefix]
        mixed = merge_heads(attend(query[..., -count:, :], [*seen, (key, value, mask[..., 1:])]))  # (K, B, count, D)
        if self._is_last(level):
            return self.unpadding.pad(rows)[:, :, -count:], mixed
        return rows, self.unpadding.pack(mixed)

    def _is_cheaper_without_keys(self) -> bool:
        """Whether `attend_last` needs fewer products than the keys and values of all rows."""
        assert self.whole_mask is not None
        architecture, length = self.weights.architecture, self.whole_mask.shape[-2]
        width, heads = architecture.embed_dim, architecture.attention_heads
        return self.scored * (width + length * heads) < length * (width + self.scored)

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


def _whole_rotation(weights: FoldedWeights, block: SourceBatch, positions: Tensor) -> Rotation | None:
    """The rotation of source and target rows; `positions` are those of the target rows, (K or 1, B, A)."""
    if not weights.architecture.is_rotary:
        return None
    source = block.positions.expand(len(positions), -1, -1)
    return rotation_at(weights, torch.cat([source, positions], dim=-1), FIRST_POSITION)


def _unpadding(block: SourceBatch, target_rows: int) -> Unpadding:
    """The source and target rows that are not padding."""
    width = block.tokens.shape[1]
    return Unpadding.behind([width - columns for columns in block.columns], width + target_rows, block.tokens.device)
