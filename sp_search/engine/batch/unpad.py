"""Packs the rows of a batch without padding, so that row-wise operations skip the pads.

Only attention needs the rows of one utterance and head together. It copies them in any case, so it copies by index
from one order to the other:

    packed   (K, N, parts, H)     rows without pads; parts are query, key and value
    heads    (K, B, H, columns)   rows with pads; columns are the T rows, or a prefix and the T rows behind it

K trials   B utterances   T rows of one, pads included   N rows of the batch without pads   H heads
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sp_search.engine.batch.collate import onto


@dataclass(frozen=True, eq=False)
class Unpadding:
    """Which rows of a batch are not padding."""

    real: Tensor  # (N,), int64: the numbers of the real rows among all B * T
    place: Tensor  # (B, T), int64: the number of each row among the real ones; for a pad, that of some other row
    pads: Tensor  # (B * T - N,), int64: the numbers of the pads among all B * T
    made: dict[Any, Tensor] = field(default_factory=dict, init=False)  # index tables, made once

    @classmethod
    def behind(cls, pads: Sequence[int], length: int, device: torch.device) -> Unpadding:
        """For utterances with these numbers of pads in front, each of `length` rows in total."""
        is_real = np.arange(length) >= np.array(pads)[:, None]
        place = (np.cumsum(is_real.ravel()) - 1).clip(min=0).reshape(is_real.shape)
        numbers = np.flatnonzero(is_real), place, np.flatnonzero(~is_real)
        return cls(*(onto(device, torch.from_numpy(found)) for found in numbers))

    def pack(self, padded: Tensor) -> Tensor:
        """(K, B, T, n) to (K, N, n)."""
        return _Pack.apply(padded, self)  # type: ignore[no-untyped-call]

    def pad(self, packed: Tensor) -> Tensor:
        """(K, N, n) to (K, B, T, n). Pads hold some finite numbers; their gradient is dropped."""
        return _Pad.apply(packed, self)  # type: ignore[no-untyped-call]

    def heads_from_packed(self, trials: int, parts: int, heads: int) -> Tensor:
        """Indices (parts, K, B, H, T) into the rows of (K, N, parts, H)."""
        return self._once(_heads_from_packed, trials, parts, heads)

    def packed_from_heads(self, trials: int, heads: int, columns: int) -> Tensor:
        """Indices (K, N, H) into the rows of (K, B, H, columns); the T rows are the last of the columns."""
        return self._once(_packed_from_heads, trials, heads, columns)

    def packed_from_gradients(self, trials: int, heads: int, columns: int) -> Tensor:
        """Indices (K, N, 3, H) into the joined rows of queries (K, B, H, T), keys (K, B, H, columns) and values."""
        return self._once(_packed_from_gradients, trials, heads, columns)

    def _once(self, make: Callable[..., Tensor], *sizes: int) -> Tensor:
        """Make a table once; every layer needs the same ones."""
        if (make, *sizes) not in self.made:
            self.made[make, *sizes] = make(self, *sizes)
        return self.made[make, *sizes]


def _heads_from_packed(rows: Unpadding, trials: int, parts: int, heads: int) -> Tensor:
    device = rows.place.device
    packed_row = torch.arange(trials, device=device)[:, None, None] * len(rows.real) + rows.place  # (K, B, T)
    part = torch.arange(parts, device=device)[:, None, None, None]
    part_row = packed_row * parts + part  # (parts, K, B, T)
    head = torch.arange(heads, device=device)[:, None]
    return part_row[..., None, :] * heads + head  # (parts, K, B, H, T)


def _packed_from_heads(rows: Unpadding, trials: int, heads: int, columns: int) -> Tensor:
    (batch, length), device = rows.place.shape, rows.real.device
    utterance, column = rows.real // length, rows.real % length + columns - length  # (N,)
    trial_utterance = torch.arange(trials, device=device)[:, None] * batch + utterance  # (K, N)
    head = trial_utterance[..., None] * heads + torch.arange(heads, device=device)  # (K, N, H)
    return head * columns + column[:, None]


def _packed_from_gradients(rows: Unpadding, trials: int, heads: int, columns: int) -> Tensor:
    batch, length = rows.place.shape
    keys_start = trials * batch * heads * length  # after the queries
    values_start = keys_start + trials * batch * heads * columns
    query = rows.packed_from_heads(trials, heads, length)  # (K, N, H)
    column = rows.packed_from_heads(trials, heads, columns)  # (K, N, H)
    return torch.stack([query, column + keys_start, column + values_start], dim=2)


def taken(rows: Tensor, where: Tensor) -> Tensor:
    """The rows of (M, n) with these numbers, (...): (..., n)."""
    return rows.index_select(0, where.flatten()).view(*where.shape, -1)


class _Pack(torch.autograd.Function):
    """Written by hand, because the backward of torch's index_select adds row by row."""

    @staticmethod
    def forward(ctx: Any, padded: Tensor, rows: Unpadding) -> Tensor:
        ctx.rows = rows
        return padded.flatten(1, 2).index_select(1, rows.real)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None]:
        rows = ctx.rows
        padded = upstream[0].index_select(1, rows.place.flatten()).index_fill_(1, rows.pads, 0)
        return padded.unflatten(1, rows.place.shape), None


class _Pad(torch.autograd.Function):
    """The inverse of `_Pack`."""

    @staticmethod
    def forward(ctx: Any, packed: Tensor, rows: Unpadding) -> Tensor:
        ctx.rows = rows
        return packed.index_select(1, rows.place.flatten()).unflatten(1, rows.place.shape)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None]:
        return upstream[0].flatten(1, 2).index_select(1, ctx.rows.real), None
