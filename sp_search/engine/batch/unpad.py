"""Rows of a batch that are no padding, one behind the other: what is computed row by row skips the pads.

Only attention needs rows by utterance and head. They are copied into that order anyhow, by index here.

K trials   B utterances   T rows of one, pads included   N rows of the batch that are no pads   H heads
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
    """Which rows of a batch are no pads."""

    real: Tensor  # (N,), int64: their numbers among all B * T
    place: Tensor  # (B, T), int64: the number of each among the real ones; a pad has that of another row
    pads: Tensor  # (B * T - N,), int64: their numbers among all
    made: dict[Any, Tensor] = field(default_factory=dict, init=False)  # what was asked for before

    @classmethod
    def behind(cls, pads: Sequence[int], length: int, device: torch.device) -> Unpadding:
        """Of utterances that begin with so many pads each, and are of so many rows with them."""
        is_real = np.arange(length) >= np.array(pads)[:, None]
        place = (np.cumsum(is_real.ravel()) - 1).clip(min=0).reshape(is_real.shape)
        numbers = np.flatnonzero(is_real), place, np.flatnonzero(~is_real)
        return cls(*(onto(device, torch.from_numpy(found)) for found in numbers))

    def pack(self, padded: Tensor) -> Tensor:
        """(K, B, T, n) to (K, N, n)."""
        return _Pack.apply(padded, self)  # type: ignore[no-untyped-call]

    def pad(self, packed: Tensor) -> Tensor:
        """(K, N, n) to (K, B, T, n). Pads hold any finite numbers; a gradient on them goes nowhere."""
        return _Pad.apply(packed, self)  # type: ignore[no-untyped-call]

    def by_head(self, trials: int, parts: int, heads: int) -> Tensor:
        """Where each row of (parts, K, B, H, T) is in (K, N, parts, H)."""
        return self._once(_index_by_head, trials, parts, heads)

    def by_row(self, trials: int, heads: int, columns: int) -> Tensor:
        """Where each row of (K, N, H) is in (K, B, H, columns), the last T of these columns being the rows."""
        return self._once(_index_by_row, trials, heads, columns)

    def by_row_of_columns(self, trials: int, heads: int, columns: int) -> Tensor:
        """Where each row of (K, N, 3, H) is in (K, B, H, T) and twice (K, B, H, columns), end to end."""
        return self._once(_index_by_row_of_columns, trials, heads, columns)

    def _once(self, make: Callable[..., Tensor], *sizes: int) -> Tensor:
        """Every layer of a pass asks for the same."""
        if (make, *sizes) not in self.made:
            self.made[make, *sizes] = make(self, *sizes)
        return self.made[make, *sizes]


def _index_by_head(rows: Unpadding, trials: int, parts: int, heads: int) -> Tensor:
    device = rows.place.device
    of_trial = torch.arange(trials, device=device)[:, None, None] * len(rows.real) + rows.place  # (K, B, T)
    of_part = torch.arange(parts, device=device)[:, None, None, None] + of_trial * parts  # (parts, K, B, T)
    return of_part[..., None, :] * heads + torch.arange(heads, device=device)[:, None]


def _index_by_row(rows: Unpadding, trials: int, heads: int, columns: int) -> Tensor:
    (batch, length), device = rows.place.shape, rows.real.device
    utterance, row = rows.real // length, rows.real % length + columns - length  # (N,)
    of_utterance = torch.arange(trials, device=device)[:, None] * batch + utterance  # (K, N)
    of_head = of_utterance[..., None] * heads + torch.arange(heads, device=device)  # (K, N, H)
    return of_head * columns + row[:, None]


def _index_by_row_of_columns(rows: Unpadding, trials: int, heads: int, columns: int) -> Tensor:
    queries, keys = (trials * len(rows.place) * heads * width for width in (rows.place.shape[1], columns))
    of_query, of_column = (rows.by_row(trials, heads, width) for width in (rows.place.shape[1], columns))
    return torch.stack([of_query, of_column + queries, of_column + queries + keys], dim=2)


def taken(rows: Tensor, where: Tensor) -> Tensor:
    """Some of many rows (M, n), by number: (..., n)."""
    return rows.index_select(0, where.flatten()).view(*where.shape, -1)


class _Pack(torch.autograd.Function):
    """By hand, for backward of torch's own selection adds up row by row."""

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
    """The other way."""

    @staticmethod
    def forward(ctx: Any, packed: Tensor, rows: Unpadding) -> Tensor:
        ctx.rows = rows
        return packed.index_select(1, rows.place.flatten()).unflatten(1, rows.place.shape)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None]:
        return upstream[0].flatten(1, 2).index_select(1, ctx.rows.real), None
