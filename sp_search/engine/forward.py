"""K trials, one pass over a batch: the unit LM with every trial's prompts, computing only what reaches a loss.

Below a chunk's lowest prompted layer the source is the same for all trials and needs no gradient (the trunk); a deep
prompt has no rows of its own; the last layer asks only at scored rows (method.md, "Savings" 1, 5, 6).

K trials in the chunk   B utterances   S source columns   A tail rows   T = S + A   P prompt positions
L layers   H heads   d head width   D embedding size   V vocabulary
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sp_search.engine.bank import Prefix, TrialPrompt, prefixes
from sp_search.engine.layout import FIRST_POSITION, SourceBlock
from sp_search.engine.weights import FrozenLayer, FrozenWeights


@dataclass(frozen=True)
class Answers:
    """What stands behind `<s>`: one answer an utterance while training, or every legal answer as a tree.

    Column 0 is `<s>`; column j > 0 holds token j - 1, at `depth[j]` places behind `<s>`.
    """

    tokens: Tensor  # (K, B, M) or (K, 1, M), int64
    depth: Tensor  # (1 + M,), int64; depth[0] = 0
    visible: Tensor  # (1 + M, 1 + M), bool: [row, column] True where the row's past holds the column


@dataclass(frozen=True)
class Trunk:
    """The source as far up as no prompt reaches it; shared by all trials, without gradient."""

    keys: list[Tensor]  # per layer below the highest level asked for: (B, H, S, d)
    values: list[Tensor]  # the same
    states: dict[int, Tensor]  # level -> input of that layer, (B, S, D)
    projected: dict[int, Tensor]  # level -> its queries, keys and values, (B, S, 3D)
    mask: Tensor  # (B, 1, S, S), what is added to scores of source rows on source columns
    padding: Tensor  # (B, 1, 1, S), what is added to scores of tail rows on source columns


@torch.no_grad()
def run_trunk(weights: FrozenWeights, block: SourceBlock, first_live_layers: Iterable[int | None]) -> Trunk:
    """Run the source up to the highest of the given levels; None stands for L, a source no prompt ever reaches."""
    layers = weights.architecture.layers
    levels = {layers if level is None else level for level in first_live_layers}
    mask, padding = _source_masks(block, weights.dtype)
    x = weights.tokens[block.tokens] + weights.positions[block.positions]  # (B, S, D)
    trunk = Trunk([], [], {}, {}, mask, padding)
    for level in range(max(levels) + 1):
        if level == layers:
            break
        layer = weights.layers[level]
        projected = _project(x, layer)  # (B, S, 3D)
        if level in levels:
            trunk.states[level], trunk.projected[level] = x, projected
        if level == max(levels):
            break
        query, key, value = _split_heads(projected, weights)  # (B, H, S, d)
        trunk.keys.append(key)
        trunk.values.append(value)
        if level + 1 < layers:
            mixed = _attend(query, [(key, value, mask)])
            x = _feed_forward(x + F.linear(_merge_heads(mixed), *layer.out), layer)
    return trunk


def tail_logits(
    weights: FrozenWeights, block: SourceBlock, trunk: Trunk, prompts: Sequence[TrialPrompt], answers: Answers
) -> Tensor:
    """What the LM expects behind the row before `<s>`, behind `<s>`, and behind each answer token.

    Trials of one chunk agree in `max_source_units`, in prompt position and in whether the prompt is deep; they may
    differ in prompt length, in depth and side, and in everything else.

    Args:
        weights: the frozen LM.
        block: the batch's sources, laid out for the prompt position.
        trunk: `run_trunk` of that block, for a level at or below every trial's own.
        prompts: K trials' prompts.
        answers: what stands behind `<s>`.

    Returns:
        (K, B, 2 + M, V), float32: row 0 predicts `<s>`, row 1 what follows `<s>`, row 1 + j what follows token j.
    """
    layers = weights.architecture.layers
    first = _chunk_level(prompts, layers)
    tail, tail_mask = _embed_tail(weights, block, prompts, answers)  # (K, B, A, D), (K or 1, B or 1, 1, A, A)
    scored = answers.depth.numel() + 1
    by_layer = prefixes(weights, prompts)
    whole_mask = _whole_mask(trunk, tail_mask) if first < layers else tail_mask
    x = tail
    for level, (layer, prefix) in enumerate(zip(weights.layers, by_layer, strict=True)):
        past = [_prefix_part(prefix)] if prefix is not None else []
        rows = scored if level == layers - 1 else None
        if level < first:
            past.append((trunk.keys[level][None], trunk.values[level][None], trunk.padding[None]))
            x = _layer(x, _project(x, layer), layer, weights, past, tail_mask, rows)
        elif level == first:
            projected = torch.cat([_expand(trunk.projected[level], x), _project(x, layer)], dim=2)  # (K, B, T, 3D)
            x = torch.cat([_expand(trunk.states[level], x), x], dim=2)  # (K, B, T, D)
            x = _layer(x, projected, layer, weights, past, whole_mask, rows)
        else:
            x = _layer(x, _project(x, layer), layer, weights, past, whole_mask, rows)
    x = x[:, :, -scored:]
    x = F.layer_norm(x, x.shape[-1:]) if weights.normed else x
    return F.linear(x, *weights.projection).float()


def _chunk_level(prompts: Sequence[TrialPrompt], layers: int) -> int:
    levels = [prompt.first_live_layer for prompt in prompts]
    return min(layers if level is None else level for level in levels)


Part = tuple[Tensor, Tensor, Tensor | None]
"""Keys and values (..., H, columns, d), and what is added to the scores on them or None."""


def _layer(
    x: Tensor,
    projected: Tensor,
    layer: FrozenLayer,
    weights: FrozenWeights,
    past: list[Part],
    mask: Tensor,
    rows: int | None,
) -> Tensor:
    """One decoder layer for its last `rows` rows, or for all: (K, B, T, D) to (K, B, rows, D).

    Args:
        x: (K, B, T, D).
        projected: the queries, keys and values of x, (K, B, T, 3D).
        layer: its weights.
        weights: the LM's.
        past: columns beside those of x that every row sees.
        mask: what is added to the scores of x's rows on x's columns, (..., T, T).
        rows: how many rows are wanted.
    """
    query, key, value = _split_heads(projected, weights)  # (K, B, H, T, d)
    if rows is not None:
        x, query, mask = x[:, :, -rows:], query[..., -rows:, :], mask[..., -rows:, :]
    mixed = _attend(query, [*past, (key, value, mask)])  # (K, B, H, rows, d)
    return _feed_forward(x + F.linear(_merge_heads(mixed), *layer.out), layer)


def _attend(query: Tensor, parts: list[Part]) -> Tensor:
    """Attention over columns that lie in several tensors, one softmax over all of them.

    Written out: torch's fused CPU kernel has a slow backward at these lengths.
    """
    scores = []
    for key, _, mask in parts:
        score = _product(query, key.transpose(-1, -2))
        scores.append(score if mask is None else score + mask)
    attended = torch.cat(scores, dim=-1) if len(scores) > 1 else scores[0]
    attended = attended.softmax(-1)
    shares = attended.split([score.shape[-1] for score in scores], dim=-1)
    mixed = _product(shares[0], parts[0][1])
    for share, (_, value, _) in zip(shares[1:], parts[1:], strict=True):
        mixed = mixed + _product(share, value)
    return mixed


def _product(rows: Tensor, shared: Tensor) -> Tensor:
    """rows @ shared, (..., H, R, n) by (..., H, n, m), where all trials or all utterances may have one right side.

    Then theirs are one product of more rows: broadcasting would copy the right side for each of them.
    """
    if rows.dim() == 5 and shared.shape[0] == 1 < rows.shape[0]:
        folded = rows.permute(1, 2, 0, 3, 4).flatten(2, 3) @ shared[0]  # (B, H, K * R, m)
        return folded.unflatten(2, (len(rows), -1)).permute(2, 0, 1, 3, 4)
    if rows.dim() == 5 and shared.shape[1] == 1 < rows.shape[1]:
        folded = rows.transpose(1, 2).flatten(2, 3) @ shared[:, 0]  # (K, H, B * R, m)
        return folded.unflatten(2, (rows.shape[1], -1)).transpose(1, 2)
    return rows @ shared


def _expand(source: Tensor, x: Tensor) -> Tensor:
    """A trunk tensor (B, S, D') for each of the K trials of x."""
    return source.expand(len(x), -1, -1, -1)


def _project(x: Tensor, layer: FrozenLayer) -> Tensor:
    return F.linear(F.layer_norm(x, x.shape[-1:]), *layer.qkv)


def _feed_forward(x: Tensor, layer: FrozenLayer) -> Tensor:
    hidden = F.relu(F.linear(F.layer_norm(x, x.shape[-1:]), *layer.fc1))
    return x + F.linear(hidden, *layer.fc2)


def _split_heads(projected: Tensor, weights: FrozenWeights) -> tuple[Tensor, Tensor, Tensor]:
    """(..., T, 3D) to queries, keys and values, each (..., H, T, d)."""
    architecture = weights.architecture
    split = projected.unflatten(-1, (3, architecture.attention_heads, architecture.head_dim))
    query, key, value = split.unbind(-3)
    return query.transpose(-2, -3), key.transpose(-2, -3), value.transpose(-2, -3)


def _merge_heads(mixed: Tensor) -> Tensor:
    """(..., H, T, d) to (..., T, D)."""
    return mixed.transpose(-2, -3).flatten(-2)


def _prefix_part(prefix: Prefix) -> Part:
    hidden = None
    if prefix.hidden is not None:
        hidden = _additive(prefix.hidden, prefix.keys.dtype)[:, None, None, None, :]  # (K, 1, 1, 1, P)
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
    lead, absent = _lead(weights, block, prompts)
    tail = torch.cat([lead.expand(trials, batch, -1, -1), start, behind], dim=2)
    return tail, _tail_mask(answers, lead.shape[2], absent, weights.dtype)


def _lead(weights: FrozenWeights, block: SourceBlock, prompts: Sequence[TrialPrompt]) -> tuple[Tensor, Tensor | None]:
    """The rows before `<s>`: the last unit, or the infix; and which of them no row may attend to, (K, rows)."""
    if prompts[0].tensors.infix is None:
        last = weights.tokens[block.last_unit] + weights.positions[FIRST_POSITION + block.units]
        return last[None, :, None], None
    rows = [prompt.tensors.infix for prompt in prompts if prompt.tensors.infix is not None]
    if prompts[0].is_infix:  # only its last row asks anything, and the deep prompt stands for its key and value
        lead = torch.stack([row[-1:] for row in rows])[:, None].to(weights.dtype)
        return lead, lead.new_ones(len(rows), 1, dtype=torch.bool)
    longest = max(len(row) for row in rows)
    lead = torch.stack([F.pad(row, (0, 0, longest - len(row), 0)) for row in rows])
    starts = torch.tensor([longest - len(row) for row in rows], device=lead.device)
    absent = torch.arange(longest, device=lead.device) < starts[:, None]
    return lead[:, None].to(weights.dtype), absent if starts.any() else None


def _tail_mask(answers: Answers, lead: int, absent: Tensor | None, dtype: torch.dtype) -> Tensor:
    rows = lead + len(answers.depth)
    visible = torch.ones(rows, rows, dtype=torch.bool, device=answers.visible.device).tril()
    visible[lead:, lead:] = answers.visible
    if absent is None:
        return _additive(~visible, dtype)[None, None, None]  # (1, 1, 1, A, A)
    masked = (~visible).repeat(len(absent), 1, 1)  # (K, A, A)
    masked[:, :, :lead] |= absent[:, None, :]
    return _additive(masked, dtype)[:, None, None]  # (K, 1, 1, A, A)


def _whole_mask(trunk: Trunk, tail_mask: Tensor) -> Tensor:
    """(K or 1, B, 1, T, T): source rows see the source, tail rows see the source and their own past."""
    source, tail = trunk.mask.shape[-1], tail_mask.shape[-1]
    trials, batch = len(tail_mask), len(trunk.mask)
    whole = trunk.mask.new_full((trials, batch, 1, source + tail, source + tail), -torch.inf)
    whole[..., :source, :source] = trunk.mask
    whole[..., source:, :source] = trunk.padding
    whole[..., source:, source:] = tail_mask
    return whole


def _source_masks(block: SourceBlock, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    padded = block.is_padded
    columns = padded.shape[1]
    visible = torch.ones(columns, columns, dtype=torch.bool, device=padded.device).tril() & ~padded[:, None, :]
    visible |= torch.eye(columns, dtype=torch.bool, device=padded.device)  # a pad sees itself, else its row is NaN
    return _additive(~visible, dtype)[:, None], _additive(padded, dtype)[:, None, None, :]


def _additive(masked: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.zeros_like(masked, dtype=dtype).masked_fill(masked, -torch.inf)
