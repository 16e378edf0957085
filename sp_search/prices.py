"""What an hour of a worker costs, by the kind of its node: a number for all of them, or a mapping."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sp_search.errors import ConfigError

OTHER = "other"
"""Stands for all kinds that have no price of their own."""

HOUR_S = 3600.0


@dataclass(frozen=True)
class Prices:
    """Money for an hour of a worker, by the kind of its node."""

    by_kind: Mapping[str, float]  # one or more; OTHER = of all that are not named

    @property
    def highest(self) -> float:
        """Of all kinds."""
        return max(self.by_kind.values())

    def of(self, kind: str) -> float:
        """Of a worker on a node of this kind. A kind without a price costs as much as the dearest one."""
        return self.by_kind.get(kind, self.by_kind.get(OTHER, self.highest))

    def cost(self, device_s: Mapping[str, float]) -> float:
        """Of these seconds of workers, by kind of node."""
        return math.fsum(self.of(kind) * seconds / HOUR_S for kind, seconds in device_s.items())

    def __str__(self) -> str:
        """As people write it: 2.5, or A100 4, other 0.5."""
        if set(self.by_kind) == {OTHER}:
            return f"{self.by_kind[OTHER]:g}"
        return ", ".join(f"{kind} {price:g}" for kind, price in self.by_kind.items())


def read_prices(rate: Any) -> Prices | None:
    """The prices that a setting has: a number, a mapping of kinds to numbers, or null for none.

    Raises:
        ConfigError: it is something else, empty, or a price is not above 0.
    """
    if faults := price_faults(rate):
        raise ConfigError("; ".join(faults))
    if rate is None:
        return None
    given = rate if isinstance(rate, Mapping) else {OTHER: rate}
    return Prices({str(kind): float(price) for kind, price in given.items()})


def price_faults(rate: Any) -> list[str]:
    """What is wrong with a setting of prices."""
    given = rate.values() if isinstance(rate, Mapping) else (rate,)
    if rate is None or (given and all(map(_is_price, given))):
        return []
    return [f"rate: expected a price above 0, or one for each kind of node, got {rate}"]


def _is_price(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf
