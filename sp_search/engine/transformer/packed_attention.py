"""Rows of a batch on themselves and on a prefix: the layers above the lowest prompted one.

K trials   B utterances   T rows of one, pads included   N rows of the batch that are no pads   P prompt positions
C = P + T columns   H heads   d head width   D embedding size
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sp_search.engine.batch.unpad import Unpadding, taken
from sp_search.engine.transformer.attention import PromptKV, additive, attended_shares
from sp_search.engine.transformer.folded_weights import FoldedLayer


def attend_above(
    projected: Tensor, rows: Unpadding, prefix: PromptKV | None, mask: Tensor, layer: FoldedLayer
) -> Tensor:
    """All rows of every utterance on each other and on a prefix.

    Args:
        projected: `project` of the rows that are no pads, (K, N, 3D).
        rows: which these are.
        prefix: of the layer.
        mask: what is added to the scores of rows on any position of the prefix, and on each other,
            (K or 1, B, 1, T, 1 + T). A pad sees itself alone.
        layer: whose attention it is.

    Returns:
        (K, N, D).
    """
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
    """By hand: a row goes to its place by head, or back, in the one copy that bringing heads together takes anyhow.

    What comes in for pads is that of other rows. Nobody sees them, and as they see themselves alone, their scores
    have no gradient; that of their values is left behind.
    """

    @staticmethod
    def forward(
        ctx: Any, projected: Tensor, query_bias: Tensor, keys: Tensor, values: Tensor, mask: Tensor, rows: Unpadding
    ) -> Tensor:
        trials, (batch, length), (heads, prompt, width) = len(projected), rows.place.shape, keys.shape[1:]
        where, flat = rows.by_head(trials, 3, heads), projected.view(-1, width)
        query = taken(flat, where[0]).add_(query_bias[:, None]).flatten(0, 2)  # (K * B * H, T, d)
        key, value = (
            torch.cat([first[:, None].expand(-1, batch, -1, -1, -1), taken(flat, own)], dim=3).flatten(0, 2)
            for first, own in zip((keys, values), where[1:], strict=True)
        )  # (K * B * H, C, d)
        seen = mask.expand(trials, batch, heads, length, prompt + length).clone(memory_format=torch.contiguous_format)
        scores = seen.flatten(0, 2)
        shares = attended_shares(torch.baddbmm(scores, query, key.transpose(1, 2), out=scores))
        ctx.save_for_backward(query, key, value, shares)
        ctx.rows, ctx.sizes = rows, (trials, batch, heads)
        mixed = torch.bmm(shares, value).view(-1, width)
        return taken(mixed, rows.by_row(trials, heads, length)).flatten(2)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        (query, key, value, shares), (trials, batch, heads) = ctx.saved_tensors, ctx.sizes
        (length, width), columns = query.shape[1:], key.shape[1]
        above = taken(upstream[0].reshape(-1, width), ctx.rows.by_head(trials, 1, heads)).flatten(0, 3)
        on_scores = torch.ops.aten._softmax_backward_data(
            torch.bmm(above, value.transpose(1, 2)), shares, -1, shares.dtype
        )
        found = query.new_empty((query.numel() + 2 * key.numel()) // width, width)
        on_query, on_key, on_value = found.split([part.numel() // width for part in (query, key, value)])
        torch.bmm(on_scores, key, out=on_query.view(query.shape))
        torch.bmm(on_scores.transpose(1, 2), query, out=on_key.view(key.shape))
        torch.bmm(shares.transpose(1, 2), above, out=on_value.view(key.shape))
        split = (trials, batch, heads, -1, width)
        on_prefix = (part.view(split)[:, :, :, : columns - length].sum(1) for part in (on_key, on_value))
        on_bias = on_query.view(split).sum((0, 1, 3)) if ctx.needs_input_grad[1] else None
        where = ctx.rows.by_row_of_columns(trials, heads, columns)
        return taken(found, where).flatten(2), on_bias, *on_prefix, None, None
