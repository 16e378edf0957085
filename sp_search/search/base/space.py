"""The search space: typed ranges by parameter name, some of them only under a condition.

A YAML mapping, read in order:

    prompt_length: {int: [1, 40], log: true}
    depth: {int: [1, layers]}                 # `layers` and `layers/2` stand for the LM's
    verbalizer: {choice: [frequency, random, linear]}
    verbalizer_seed: {int: [0, 999], when: {verbalizer: [random, kmeans]}}
    dropout: 0.1                              # a fixed value
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from sp_search.errors import ConfigError
from sp_search.prompts.limits import Limits
from sp_search.types import Params, ParamValue

LAYERS = re.compile(r"layers(?:/([0-9]{1,9}))?")


class Asker(Protocol):
    """The source of a suggestion: an Optuna trial, or a table of values."""

    def suggest_int(self, name: str, low: int, high: int, *, log: bool) -> int: ...  # noqa: D102
    def suggest_float(self, name: str, low: float, high: float, *, log: bool) -> float: ...  # noqa: D102
    def suggest_categorical(self, name: str, choices: list[ParamValue]) -> Any: ...  # noqa: D102


def word(value: ParamValue) -> str:
    """A value as YAML writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


@dataclass(frozen=True)
class Range:
    """One parameter: a range of numbers, a choice, or (a choice of one) a fixed value."""

    name: str
    kind: str  # int, float, choice or fixed
    values: tuple[ParamValue, ...]  # low and high, the choices, or the value
    log: bool = False
    when: tuple[tuple[str, tuple[ParamValue, ...]], ...] = ()  # earlier parameters and the values that allow this one

    def applies(self, params: Params) -> bool:
        """Whether the conditions hold for the values chosen so far."""
        return all(name in params and params[name] in allowed for name, allowed in self.when)

    def holds(self, value: ParamValue) -> bool:
        """Whether a value may be drawn."""
        if self.kind not in ("int", "float"):
            return any(type(value) is type(known) and value == known for known in self.values)
        low, high = map(float, self.values)
        return type(value) in ((int,) if self.kind == "int" else (int, float)) and low <= float(value) <= high

    @property
    def shown(self) -> str:
        """The values for people: `1 to 40, log`, or `linear or random`."""
        if self.kind in ("int", "float"):
            return f"{self.values[0]:g} to {self.values[1]:g}{', log' if self.log else ''}"
        return " or ".join(map(word, self.values))

    @property
    def described(self) -> str:
        """The values to the last digit, and the conditions."""
        ends = " to ".join(map(repr, self.values)) + (", log" if self.log else "")
        values = ends if self.kind in ("int", "float") else " or ".join(map(word, self.values))
        conditions = [f"{name} is {' or '.join(map(word, allowed))}" for name, allowed in self.when]
        return values + (f", when {' and '.join(conditions)}" if conditions else "")


@dataclass(frozen=True)
class Space:
    """All searched parameters, in order."""

    ranges: tuple[Range, ...]

    def suggest(self, trial: Asker) -> dict[str, ParamValue]:
        """Draw every parameter whose condition holds."""
        params: dict[str, ParamValue] = {}
        for r in self.ranges:
            if not r.applies(params):
                continue
            if r.kind == "int":
                params[r.name] = trial.suggest_int(r.name, int(r.values[0]), int(r.values[1]), log=r.log)
            elif r.kind == "float":
                params[r.name] = trial.suggest_float(r.name, float(r.values[0]), float(r.values[1]), log=r.log)
            elif r.kind == "choice":
                params[r.name] = trial.suggest_categorical(r.name, list(r.values))
            else:
                params[r.name] = r.values[0]
        return params

    def searched(self, params: Params) -> dict[str, ParamValue]:
        """The drawn parameters of a trial, without the fixed ones. Optuna and MLflow get these."""
        drawn = {r.name for r in self.ranges if r.kind != "fixed"}
        return {name: value for name, value in params.items() if name in drawn}

    def only_trial(self) -> dict[str, ParamValue]:
        """The only trial of a space in which every parameter is fixed.

        Raises:
            ConfigError: some are not fixed; they are named.
        """
        params: dict[str, ParamValue] = {}
        drawn: list[str] = []
        for r in self.ranges:
            if r.applies(params) and r.kind == "fixed":
                params[r.name] = r.values[0]
            elif r.applies(params):
                drawn.append(r.name)
        if drawn:
            raise ConfigError(
                f"space: expected one value for each parameter, got a range for {', '.join(drawn)}; "
                f"take space=paper, or set them with space.{drawn[0]}=VALUE"
            )
        return params


def read_space(raw: Mapping[str, Any], limits: Mapping[str, Limits], layers: int) -> Space:
    """Check a whole space and read it.

    Args:
        raw: the YAML mapping.
        limits: all parameters, and the values that each may have.
        layers: of the LM.

    Raises:
        ConfigError: anything is wrong; every bad key is named at once.
    """
    ranges: list[Range] = []
    faults: list[str] = []
    earlier: set[str] = set()  # those with a fault too: a condition on one is no fault of its own
    for name, spec in raw.items():
        try:
            ranges.append(_read_range(str(name), spec, limits, layers, earlier))
        except ConfigError as error:
            faults.append(f"{name}: {error}")
        earlier |= {str(name)} & limits.keys()
    if not raw:
        faults.append("expected at least one parameter, got none")
    if faults:
        raise ConfigError(f"space: {_bad_keys(faults)}")
    return Space(tuple(ranges))


def read_params(raw: Mapping[str, Any], limits: Mapping[str, Limits], layers: int) -> dict[str, ParamValue]:
    """Values of parameters named outright, as a first trial's are; `layers` stands for the LM's.

    Raises:
        ConfigError: a name that no parameter has, or a value of another type; every bad one is named at once.
    """
    if not isinstance(raw, Mapping):
        raise ConfigError(f"first_trials: expected parameter: value in each, got {raw!r:.60}")
    params: dict[str, ParamValue] = {}
    faults: list[str] = []
    for name, value in raw.items():
        try:
            if name not in limits:
                raise ConfigError(f"expected one of {', '.join(sorted(limits))}")
            params[name] = _value(value, limits[name], layers)
        except ConfigError as error:
            faults.append(f"{name}: {error}")
    if faults:
        raise ConfigError(f"first_trials: {_bad_keys(faults)}")
    return params


def _bad_keys(faults: list[str]) -> str:
    return f"{len(faults)} bad key{'s' if len(faults) > 1 else ''}: " + "; ".join(faults)


def _read_range(name: str, spec: Any, limits: Mapping[str, Limits], layers: int, earlier: Collection[str]) -> Range:
    if name not in limits:
        raise ConfigError(f"expected one of {', '.join(sorted(limits))}")
    wanted = limits[name]
    if not isinstance(spec, Mapping):
        return Range(name, "fixed", (_value(spec, wanted, layers),))
    kinds = [kind for kind in ("int", "float", "choice", "value") if kind in spec]
    unknown = sorted(set(spec) - {*kinds, "log", "when"})
    if len(kinds) != 1 or unknown:
        got = ", ".join(map(str, spec)) or "nothing"
        raise ConfigError(f"expected one of int, float, choice or value, apart from log and when, got {got}")
    kind, when = kinds[0], _read_when(spec.get("when", {}), limits, layers, earlier)
    if kind == "value":
        return Range(name, "fixed", (_value(spec[kind], wanted, layers),), when=when)
    if kind == "choice":
        values = spec[kind]
        if not isinstance(values, list) or not values:
            raise ConfigError(f"expected a list of choices, got {values!r}")
        return Range(name, "choice", tuple(_value(value, wanted, layers) for value in values), when=when)
    if wanted.kind is not {"int": int, "float": float}[kind]:
        raise ConfigError(f"expected a range of {wanted.kind.__name__}, got one of {kind}")
    low, high = _bounds(spec[kind], wanted, layers)
    log = spec.get("log", False)
    if not isinstance(log, bool):
        raise ConfigError(f"log: expected true or false, got {log!r}")
    if log and low <= 0:
        raise ConfigError(f"expected a low above 0 on a log scale, got {low}")
    return Range(name, kind, (low, high), log, when)


def _bounds(value: Any, wanted: Limits, layers: int) -> tuple[float, float]:
    if not isinstance(value, list) or len(value) != 2:
        raise ConfigError(f"expected [low, high], got {value!r}")
    low, high = (_value(bound, wanted, layers) for bound in value)
    assert isinstance(low, int | float)
    assert isinstance(high, int | float)
    if low > high:
        raise ConfigError(f"expected low at most high, got low {low} and high {high}")
    return low, high


def _value(value: Any, wanted: Limits, layers: int) -> ParamValue:
    if wanted.kind is int and isinstance(value, str) and (match := LAYERS.fullmatch(value)):
        if (parts := int(match[1] or 1)) == 0:
            raise ConfigError(f"expected layers, or layers/2 and the like, got {value}")
        value = max(1, layers // parts)
    if wanted.kind is float and type(value) is int:
        value = float(value)
    if fault := wanted.fault(value):
        raise ConfigError(fault)
    assert isinstance(value, int | float | str)
    return value


def _read_when(
    raw: Any, limits: Mapping[str, Limits], layers: int, earlier: Collection[str]
) -> tuple[tuple[str, tuple[ParamValue, ...]], ...]:
    """Earlier parameters and the values that allow this one.

    Each value must be legal for its parameter. It need not lie in the range of this space: whoever narrows a range
    does not have to change the conditions that refer to it.
    """
    if not isinstance(raw, Mapping):
        raise ConfigError(f"when: expected parameter: value or list of values, got {raw!r}")
    conditions = []
    for name, given in raw.items():
        if name not in earlier:
            raise ConfigError(f"when: expected a parameter above this one, got {name}")
        try:
            values = [_value(v, limits[name], layers) for v in (given if isinstance(given, list) else [given])]
        except ConfigError as error:
            raise ConfigError(f"when: {name}: {error}") from error
        if not values:
            raise ConfigError(f"when: {name}: expected at least one value, got none")
        conditions.append((str(name), tuple(values)))
    return tuple(conditions)
