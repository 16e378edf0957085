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
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from sp_search.errors import ConfigError
from sp_search.types import Params, ParamValue

LAYERS = re.compile(r"layers(?:/(\d+))?")


class Asker(Protocol):
    """What a suggestion is drawn from: an Optuna trial, or a table of values."""

    def suggest_int(self, name: str, low: int, high: int, *, log: bool) -> int: ...  # noqa: D102
    def suggest_float(self, name: str, low: float, high: float, *, log: bool) -> float: ...  # noqa: D102
    def suggest_categorical(self, name: str, choices: list[ParamValue]) -> Any: ...  # noqa: D102


def word(value: ParamValue) -> str:
    """A value as YAML has it."""
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
        """Whether the conditions hold for what is chosen so far."""
        return all(name in params and params[name] in allowed for name, allowed in self.when)

    def holds(self, value: ParamValue) -> bool:
        """Whether a value may be drawn."""
        if self.kind not in ("int", "float"):
            return any(type(value) is type(known) and value == known for known in self.values)
        low, high = map(float, self.values)
        return type(value) in ((int,) if self.kind == "int" else (int, float)) and low <= float(value) <= high

    @property
    def told(self) -> str:
        """The values for people: `1 to 40, log`, or `linear or random`."""
        if self.kind in ("int", "float"):
            return f"{self.values[0]:g} to {self.values[1]:g}{', log' if self.log else ''}"
        return " or ".join(map(word, self.values))


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
        """The parameters of a trial that were drawn, without the fixed ones: what Optuna is told and MLflow shows."""
        drawn = {r.name for r in self.ranges if r.kind != "fixed"}
        return {name: value for name, value in params.items() if name in drawn}

    def only_trial(self) -> dict[str, ParamValue]:
        """The one trial of a space that leaves nothing to draw.

        Raises:
            ConfigError: it does; what is searched is named.
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


def read_space(raw: Mapping[str, Any], types: Mapping[str, type], layers: int) -> Space:
    """Check a whole space and read it.

    Args:
        raw: as the YAML has it.
        types: the parameters there are, with their types.
        layers: of the LM.

    Raises:
        ConfigError: anything is wrong; every bad key is named at once.
    """
    ranges: list[Range] = []
    faults: list[str] = []
    for name, spec in raw.items():
        try:
            ranges.append(_read_range(str(name), spec, types, layers, {r.name for r in ranges}))
        except ConfigError as error:
            faults.append(f"{name}: {error}")
    if not raw:
        faults.append("expected at least one parameter, got none")
    if faults:
        raise ConfigError(f"space: {len(faults)} bad keys: " + "; ".join(faults))
    return Space(tuple(ranges))


def read_params(raw: Mapping[str, Any], types: Mapping[str, type], layers: int) -> dict[str, ParamValue]:
    """Values of parameters named outright, as a first trial's are; `layers` stands for the LM's.

    Raises:
        ConfigError: a name that no parameter has, or a value of another type; every bad one is named at once.
    """
    params: dict[str, ParamValue] = {}
    faults: list[str] = []
    for name, value in raw.items():
        try:
            if name not in types:
                raise ConfigError(f"expected one of {', '.join(sorted(types))}")
            params[name] = _value(value, types[name], layers)
        except ConfigError as error:
            faults.append(f"{name}: {error}")
    if faults:
        raise ConfigError(f"first_trials: {len(faults)} bad keys: " + "; ".join(faults))
    return params


def _read_range(name: str, spec: Any, types: Mapping[str, type], layers: int, earlier: set[str]) -> Range:
    if name not in types:
        raise ConfigError(f"expected one of {', '.join(sorted(types))}")
    wanted = types[name]
    if not isinstance(spec, Mapping):
        return Range(name, "fixed", (_value(spec, wanted, layers),))
    kinds = [kind for kind in ("int", "float", "choice", "value") if kind in spec]
    unknown = sorted(set(spec) - {*kinds, "log", "when"})
    if len(kinds) != 1 or unknown:
        got = ", ".join(map(str, spec)) or "nothing"
        raise ConfigError(f"expected one of int, float, choice, value beside log and when, got {got}")
    kind, when = kinds[0], _read_when(spec.get("when", {}), earlier)
    if kind == "value":
        return Range(name, "fixed", (_value(spec[kind], wanted, layers),), when=when)
    if kind == "choice":
        values = spec[kind]
        if not isinstance(values, list) or not values:
            raise ConfigError(f"expected a list of choices, got {values!r}")
        return Range(name, "choice", tuple(_value(value, wanted, layers) for value in values), when=when)
    if wanted is not {"int": int, "float": float}[kind]:
        raise ConfigError(f"expected a range of {wanted.__name__}, got one of {kind}")
    low, high = _bounds(spec[kind], wanted, layers)
    log = spec.get("log", False)
    if not isinstance(log, bool):
        raise ConfigError(f"log: expected true or false, got {log!r}")
    if log and low <= 0:
        raise ConfigError(f"expected a low above 0 on a log scale, got {low}")
    return Range(name, kind, (low, high), log, when)


def _bounds(value: Any, wanted: type, layers: int) -> tuple[float, float]:
    if not isinstance(value, list) or len(value) != 2:
        raise ConfigError(f"expected [low, high], got {value!r}")
    low, high = (_value(bound, wanted, layers) for bound in value)
    assert isinstance(low, int | float)
    assert isinstance(high, int | float)
    if low > high:
        raise ConfigError(f"expected low at most high, got low {low} and high {high}")
    return low, high


def _value(value: Any, wanted: type, layers: int) -> ParamValue:
    if wanted is int and isinstance(value, str) and (match := LAYERS.fullmatch(value)):
        return max(1, layers // int(match[1] or 1))
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not wanted:
        raise ConfigError(f"expected {wanted.__name__}, got {value!r}")
    assert isinstance(value, int | float | str)
    return value


def _read_when(raw: Any, earlier: set[str]) -> tuple[tuple[str, tuple[ParamValue, ...]], ...]:
    if not isinstance(raw, Mapping):
        raise ConfigError(f"when: expected parameter: value or list of values, got {raw!r}")
    for name in raw:
        if name not in earlier:
            raise ConfigError(f"when: expected a parameter above this one, got {name}")
    return tuple((str(n), tuple(v) if isinstance(v, list) else (v,)) for n, v in raw.items())
