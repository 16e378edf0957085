"""Attention of all rows of a batch on each other and on a prefix, in the layers above the lowest prompted one.

K trials   B utterances   T rows of one, pads included   N rows of the batch without pads   P prompt positions
C = P + T columns   H heads   d head width   D embedding size
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sp_search.engine.batch.unpad import Unpadding, taken
from sp_search.engine.runtime.torch_private import softmax_backward
from sp_search.engine.transformer.attention import PromptKV, additive, attended_shares
from sp_search.engine.transformer.folded_weights import FoldedLayer


def attend_above(
    projected: Tensor, rows: Unpadding, prefix: PromptKV | None, mask: Tensor, layer: FoldedLayer
) -> Tensor:
    """All rows of every utterance on each other and on a prefix, for plain heads.

    Args:
        projected: `project` of the rows without pads, (K, N, 3D).
        rows: which rows these are.
        prefix: the layer's.
        mask: added to scores, (K or 1, B, 1, T, 1 + T). Column 0 is for every position of the prefix, the others are
            for the rows. A pad sees itself alone.
        layer: whose attention it is.

    Returns:
        (K, N, D).
    """
    assert layer.query_bias is not None
    if prefix is None:
        keys = values = projected.new_empty(len(projected), len(layer.query_bias), 0, layer.query_bias.shape[1])
        mask = mask[..., 1:]
    else:
        keys, values = prefix.keys, prefix.values
        ahead = mask[..., :1].expand(*mask.shape[:-1], keys.shape[2])
        if prefix.hidden is not None:
            ahead = ahead + additive(prefix.hidden, mask.dtype)[:, None, None, None]
        mask = torch.cat([ahead, mask[..., 1:].expand(*ahead.shape[:-1], -1)], dim=-1)
    return _SelfAttention.apply(projected, layer.query_bias, keys, values, mask, rows)  # type: ignore[no-untyped-call]


class _SelfAttention(torch.autograd.Function):
    """Written by hand: the copy that brings the rows of a head together also puts in or takes out the pads.

    A pad holds the numbers of some other row. No row sees it, and it sees itself alone, so its score has no gradient;
    the gradient of its value is left out when the rows are packed again.
    """

    @staticmethod
    def forward(
        ctx: Any, projected: Tensor, query_bias: Tensor, keys: Tensor, values: Tensor, mask: Tensor, rows: Unpadding
    ) -> Tensor:
        trials, (batch, length), (heads, prompt, width) = len(projected), rows.place.shape, keys.shape[1:]
        query_at, key_at, value_at = rows.heads_from_packed(trials, 3, heads)  # each (K, B, H, T)
        packed = projected.view(-1, width)  # (K * N * 3 * H, d)
        query = taken(packed, query_at).add_(query_bias[:, None]).flatten(0, 2)  # (K * B * H, T, d)
        key = _behind_prefix(keys, taken(packed, key_at))  # (K * B * H, C, d)
        value = _behind_prefix(values, taken(packed, value_at))  # (K * B * H, C, d)
        mask = mask.expand(trials, batch, heads, length, prompt + length)
        scores = mask.clone(memory_format=torch.contiguous_format).flatten(0, 2)  # (K * B * H, T, C)
        shares = attended_shares(torch.baddbmm(scores, query, key.transpose(1, 2), out=scores))
        ctx.save_for_backward(query, key, value, shares)
        ctx.rows, ctx.sizes = rows, (trials, batch, heads)
        mixed = torch.bmm(shares, value).view(-1, width)  # (K * B * H * T, d)
        return taken(mixed, rows.packed_from_heads(trials, heads, length)).flatten(2)  # (K, N, D)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        (query, key, value, shares), (trials, batch, heads) = ctx.saved_tensors, ctx.sizes
        (length, width), columns = query.shape[1:], key.shape[1]
        on_mixed = taken(upstream[0].reshape(-1, width), ctx.rows.heads_from_packed(trials, 1, heads))
        on_mixed = on_mixed.flatten(0, 3)  # (K * B * H, T, d)
        on_scores = softmax_backward(torch.bmm(on_mixed, value.transpose(1, 2)), shares)  # (K * B * H, T, C)

        # the three gradients lie end to end, so that one index packs them as `projected` has them
        sizes = [part.numel() // width for part in (query, key, value)]
        gradients = query.new_empty(sum(sizes), width)
        on_query, on_key, on_value = (
            part.view(-1, rows, width)
            for part, rows in zip(gradients.split(sizes), (length, columns, columns), strict=True)
        )
        torch.bmm(on_scores, key, out=on_query)
        torch.bmm(on_scores.transpose(1, 2), query, out=on_key)
        torch.bmm(shares.transpose(1, 2), on_mixed, out=on_value)

        by_trial = (trials, batch, heads, -1, width)
        prompt = columns - length
        on_prefix_keys, on_prefix_values = (
            part.view(by_trial)[:, :, :, :prompt].sum(1) for part in (on_key, on_value)
        )
        on_bias = on_query.view(by_trial).sum((0, 1, 3)) if ctx.needs_input_grad[1] else None
        on_projected = taken(gradients, ctx.rows.packed_from_gradients(trials, heads, columns)).flatten(2)
        return on_projected, on_bias, on_prefix_keys, on_prefix_values, None, None


def _behind_prefix(prefix: Tensor, own: Tensor) -> Tensor:
    """A prefix (K, H, P, d), which all utterances share, and their own columns (K, B, H, T, d): (K * B * H, C, d)."""
    shared = prefix[:, None].expand(-1, own.shape[1], -1, -1, -1)
    return torch.cat([shared, own], dim=3).flatten(0, 2)
