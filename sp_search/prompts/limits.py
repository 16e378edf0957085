"""What a trial's parameter may be: type, choices or range. One table serves records, spaces and checks."""

from __future__ import annotations

import math
import typing
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from sp_search.errors import ConfigError

_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a word"}


@dataclass(frozen=True)
class Limits:
    """The values that a parameter may have."""

    kind: type  # int, float, bool or str
    choices: tuple[Any, ...] = ()  # of a str; empty for any
    low: float = -math.inf
    high: float = math.inf
    above_low: bool = False  # whether low itself is out
    below_high: bool = False  # whether high itself is out

    def fault(self, value: Any) -> str:
        """What is wrong with a value, `expected X, got Y`; "" where it may be."""
        if self._holds(value):
            return ""
        kind, shown = _WORDS[self.kind], self.shown
        is_kind = type(value) is self.kind or (self.kind is float and type(value) is int)
        expected = shown if is_kind or self.choices or shown == kind else f"{kind}, {shown}"
        return f"expected {expected}, got {_shown(value)}"

    def at_most(self, high: float) -> Limits:
        """The same, with a lower end: that of an LM, say."""
        return Limits(self.kind, self.choices, self.low, min(self.high, high), self.above_low, self.below_high)

    @property
    def shown(self) -> str:
        """For people: `1 to 40`, `above 0`, `top or bottom`."""
        if self.choices:
            *others, last = map(str, self.choices)
            return f"{', '.join(others)} or {last}" if others else last
        if math.isinf(self.low) and math.isinf(self.high):
            return _WORDS[self.kind]
        low = "" if math.isinf(self.low) else f"above {self.low:g}" if self.above_low else f"{self.low:g} or more"
        if math.isinf(self.high):
            return low
        if not self.above_low and not self.below_high and low:
            return f"{self.low:g} to {self.high:g}"
        return " and ".join(filter(None, (low, f"{'below' if self.below_high else 'at most'} {self.high:g}")))

    def _holds(self, value: Any) -> bool:
        number_for_float = self.kind is float and type(value) is int
        if (type(value) is not self.kind and not number_for_float) or (self.choices and value not in self.choices):
            return False
        if self.kind not in (int, float):
            return True
        try:
            number = float(value)
        except OverflowError:  # a whole number beyond all floats
            return False
        above = number > self.low if self.above_low else number >= self.low
        below = number < self.high if self.below_high else number <= self.high
        return math.isfinite(number) and above and below


def limits_of(record: type, ranges: Mapping[str, Limits], leave_out: tuple[str, ...] = ()) -> dict[str, Limits]:
    """The limits of every field of a settings record: its choices from a Literal, its range from a table."""
    hints = typing.get_type_hints(record)
    found: dict[str, Limits] = {}
    for field in fields(record):
        if field.name in leave_out:
            continue
        hint = hints[field.name]
        if typing.get_origin(hint) is Literal:
            found[field.name] = Limits(str, typing.get_args(hint))
        else:
            found[field.name] = ranges.get(field.name, Limits(hint))
    return found


def refuse_outside(record: Any, limits: Mapping[str, Limits]) -> None:
    """Check a record's fields.

    Raises:
        ConfigError: some are outside their limits; all are named.
    """
    faults = [f"{name}: {fault}" for name, limit in limits.items() if (fault := limit.fault(getattr(record, name)))]
    if faults:
        raise ConfigError("; ".join(faults))


def _shown(value: Any) -> str:
    return (
        str(value).lower() if isinstance(value, bool) else f"{value!r:.80}" if isinstance(value, str) else f"{value}"
    )
