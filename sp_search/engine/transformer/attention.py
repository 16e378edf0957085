"""Attention over columns from several tensors, and two cheaper forms of it.

    attend         any rows, any columns
    attend_source  source rows in the lowest prompted layer: their scores on each other are the same for all trials
    attend_last    the last layer: only a few rows need a result, so keys and values of all rows are not computed

Heads may share keys and values: each of the G key/value heads then serves H / G successive heads.

K trials   B utterances   T rows   R rows with a result   P prompt positions   H heads   G key/value heads
d head width   D embedding size
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sp_search.engine.transformer.folded_weights import FoldedLayer
from sp_search.engine.transformer.norm import sublayer_input


@dataclass(frozen=True)
class PromptKV:
    """Keys and values of prompt positions in one layer."""

    keys: Tensor  # (K, G, P, d)
    values: Tensor  # (K, G, P, d)
    hidden: Tensor | None  # (K, P), bool: positions that a trial doesn't have; None if every trial has all P


Part = tuple[Tensor, Tensor, Tensor | None]
"""Keys and values, each (..., G, columns, d), and the mask to add to their scores, or None."""


def attend(query: Tensor, parts: list[Part]) -> Tensor:
    """Attention over the columns of several tensors, with one softmax over all of them.

    It is written out because the backward of torch's fused CPU kernel is slow at these lengths.
    """
    scores = []
    for key, _, mask in parts:
        score = product(query, key.transpose(-1, -2))
        scores.append(score if mask is None else score + mask)
    attended = torch.cat(scores, dim=-1) if len(scores) > 1 else scores[0]
    shares = attended_shares(attended).split([score.shape[-1] for score in scores], dim=-1)
    mixed = product(shares[0], parts[0][1])
    for share, (_, value, _) in zip(shares[1:], parts[1:], strict=True):
        mixed = mixed + product(share, value)
    return mixed


def attend_source(query: Tensor, mixed: Tensor, log_sum: Tensor, prefix: PromptKV) -> Tensor:
    """Attention of source rows on a prefix and on each other, computed from their attention on each other alone.

    The source becomes one more column next to the prefix. The value of this column is the rows' attention without a
    prefix; its score is the logarithm of the sum of the exponentials of their scores.

    Args:
        query: (B, T, H * d).
        mixed: the rows' attention without a prefix, (B, T, H * d).
        log_sum: (B, T, H), float32.
        prefix: the layer's.

    Returns:
        (K, B, T, H * d).
    """
    (batch, rows, _), (trials, _, prompt, width) = query.shape, prefix.keys.shape
    heads = query.shape[-1] // width
    by_head = query.unflatten(-1, (heads, -1)).flatten(0, 1).transpose(0, 1)  # (H, B * T, d)
    keys = prefix.keys.permute(1, 3, 0, 2).flatten(2)  # (G, d, K * P)
    scores = product(by_head, keys).view(heads, batch, rows, trials, prompt).permute(3, 1, 2, 0, 4).float()
    if prefix.hidden is not None:
        scores = scores + additive(prefix.hidden, scores.dtype)[:, None, None, None]
    column = log_sum[None, ..., None].expand(trials, -1, -1, -1, -1)
    shares = torch.cat([scores, column], dim=-1).softmax(-1).to(query.dtype)  # (K, B, T, H, P + 1)
    ahead = shares[..., :-1].permute(0, 3, 1, 2, 4).flatten(2, 3)  # (K, H, B * T, P)
    of_prefix = product(ahead, prefix.values)  # (K, H, B * T, d)
    of_prefix = of_prefix.unflatten(2, (batch, rows)).permute(0, 2, 3, 1, 4)
    return torch.addcmul(of_prefix, shares[..., -1:], mixed.unflatten(-1, (heads, -1))).flatten(-2)


def attend_last(x: Tensor, prefix: PromptKV | None, mask: Tensor, layer: FoldedLayer, rows: int) -> Tensor:
    """Attention of the last R rows on all rows and on a prefix. Projections are applied to the R rows alone.

    A score q . (W_k x) is (W_k' q) . x, and a mean of values W_v x is W_v times the mean of x. That holds for plain
    heads alone, not where something happens to keys behind their projection.

    Args:
        x: the layer's input, (K, B, T, D).
        prefix: the layer's; every row sees it.
        mask: added to the scores of the rows on each other, (K or 1, B, 1, T, T).
        layer: the last.
        rows: R.

    Returns:
        (K, B, R, D).
    """
    assert layer.query_bias is not None
    heads, width = layer.query_bias.shape
    normed = sublayer_input(x, layer.architecture)  # (K, B, T, D)
    to_query, to_key, to_value = layer.qkv.weight.chunk(3)
    last_rows = normed[
        :, :, -rows:
    ].contiguous()  # (K, B, R, D); otherwise each utterance would get a copy of the weight
    query = F.linear(last_rows, to_query, layer.query_bias.flatten()).unflatten(-1, (heads, width))  # (K, B, R, H, d)
    on_inputs = _by_head(query, to_key.view(heads, width, -1)).flatten(2, 3)  # (K, B, R * H, D)
    scores = (on_inputs @ normed.transpose(-1, -2)).unflatten(2, (rows, heads))  # (K, B, R, H, T)
    scores = scores + mask[..., -rows:, :].transpose(2, 3)
    if prefix is not None:
        ahead = query.permute(0, 3, 1, 2, 4).flatten(2, 3) @ prefix.keys.transpose(-1, -2)  # (K, H, B * R, P)
        ahead = ahead.unflatten(2, query.shape[1:3]).permute(0, 2, 3, 1, 4)  # (K, B, R, H, P)
        if prefix.hidden is not None:
            ahead = ahead + additive(prefix.hidden, ahead.dtype)[:, None, None, None]
        scores = torch.cat([ahead, scores], dim=-1)
    shares = attended_shares(scores)
    own = shares[..., -x.shape[2] :]
    read = (own.flatten(2, 3) @ normed).unflatten(2, (rows, heads))  # (K, B, R, H, D)
    mixed = _by_head(read, to_value.view(heads, width, -1).transpose(1, 2))  # (K, B, R, H, d)
    if prefix is not None:
        of_prefix = shares[..., : -x.shape[2]].permute(0, 3, 1, 2, 4).flatten(2, 3) @ prefix.values
        mixed = mixed + of_prefix.unflatten(2, query.shape[1:3]).permute(0, 2, 3, 1, 4)
    return mixed.flatten(-2).contiguous()


def attended_shares(scores: Tensor) -> Tensor:
    """Softmax over the last dimension, in float32, because bfloat16 takes two to four times as long on a CPU."""
    return scores.softmax(-1, dtype=torch.float32).to(scores.dtype)


def _by_head(x: Tensor, weight: Tensor) -> Tensor:
    """(K, B, R, H, n) times (H, n, m) for each head: (K, B, R, H, m)."""
    product = x.flatten(0, 2).transpose(0, 1) @ weight  # (H, K * B * R, m)
    return product.transpose(0, 1).unflatten(0, x.shape[:3])


def product(rows: Tensor, shared: Tensor) -> Tensor:
    """rows @ shared, (..., H, R, n) times (..., G, n, m). Heads, trials or utterances may share the right side.

    Those that share it are joined into one product with more rows, because broadcasting would copy the right side.
    """
    if rows.shape[-3] != shared.shape[-3]:
        of_one = rows.shape[-3] // shared.shape[-3]  # H / G
        by_group = rows.unflatten(-3, (-1, of_one)).flatten(-3, -2)  # (..., G, H / G * R, n)
        return product(by_group, shared).unflatten(-2, (of_one, rows.shape[-2])).flatten(-4, -3)
    if rows.dim() == 5 and shared.shape[0] == 1 < rows.shape[0]:
        folded = rows.permute(1, 2, 0, 3, 4).flatten(2, 3) @ shared[0]  # (B, H, K * R, m)
        return folded.unflatten(2, (len(rows), -1)).permute(2, 0, 1, 3, 4)
    if rows.dim() == 5 and shared.shape[1] == 1 < rows.shape[1]:
        folded = rows.transpose(1, 2).flatten(2, 3) @ shared[:, 0]  # (K, H, B * R, m)
        return folded.unflatten(2, (rows.shape[1], -1)).transpose(1, 2)
    return rows @ shared


def additive(masked: Tensor, dtype: torch.dtype) -> Tensor:
    """A mask to add to scores, of the same shape: -inf where masked, else 0."""
    return torch.zeros_like(masked, dtype=dtype).masked_fill(masked, -torch.inf)
