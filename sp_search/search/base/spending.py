"""What a search may spend, over all its starts."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sp_search.prices import Prices


@dataclass(frozen=True)
class Spending:
    """Limits at which a search ends in order; inf and None are none."""

    wall_s: float = math.inf  # seconds on the clock
    device_h: float = math.inf  # hours of all workers together
    money: float = math.inf  # at the prices
    prices: Prices | None = None  # of an hour of a worker
    flat: int | None = None  # trials in a row without a better value, behind which the search asks for no more

    def to_json(self) -> dict[str, float | int | None]:
        """The limits alone, None where there is none."""
        limits = {name: getattr(self, name) for name in ("wall_s", "device_h", "money")}
        return {name: most if math.isfinite(most) else None for name, most in limits.items()} | {"flat": self.flat}
