"""Turns a mapping of plain values into a frozen settings record, or raises one error that lists every fault.

This is our own code because Hydra merges group files into a schema node by node and OmegaConf makes a frozen
dataclass read-only on the way (ReadonlyConfigError), knows no `Literal`, and stops at the first fault.
"""

from __future__ import annotations

import os
import types
from collections.abc import Collection, Mapping
from dataclasses import MISSING, fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from sp_search.errors import ConfigError
from sp_search.files.json_line import SURROGATE
from sp_search.files.paths import user_path

T = TypeVar("T")

_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text", Path: "a path"}


def leaves(schema: type) -> dict[str, Any]:
    """The type of every setting by its dotted key, without the sections themselves."""
    found: dict[str, Any] = {}
    for name, hint in get_type_hints(schema).items():
        if is_dataclass(hint):
            found |= {f"{name}.{key}": leaf for key, leaf in leaves(hint).items()}  # type: ignore[arg-type]
        else:
            found[name] = hint
    return found


def inside(known: Mapping[str, Any], key: str) -> Any:
    """The type of a setting inside a section that may be null (`leaves` has the section only), or None."""
    section, _, name = key.rpartition(".")
    kind, _ = without_null(known.get(section))
    return get_type_hints(kind).get(name) if is_dataclass(kind) else None


def fill(schema: type[T], values: Mapping[str, Any]) -> T:
    """The record of these values. Relative paths become absolute, starting at the current folder.

    Raises:
        ConfigError: keys are unknown, missing, of a wrong type or out of range; all are named by their dotted key.
    """
    reader = _Reader(known=leaves(schema))
    record = reader.record(schema, values, place="")
    if record is None:
        raise ConfigError("; ".join(reader.faults))
    return record


def did_you_mean(word: str, known: Collection[str]) -> str:
    """`; did you mean A or B?` with the names closest to a mistyped one, or "".

    Only the last parts of names are compared, because a section is easily forgotten. Names in its own section win.
    """
    section, _, end = word.lower().rpartition(".")
    ends = get_close_matches(end, {name.rpartition(".")[2] for name in known}, n=1)
    near = [name for name in known if name.rpartition(".")[2] in ends]
    near = [name for name in near if name.rpartition(".")[0] == section] or near
    return f"; did you mean {' or '.join(near)}?" if near else ""


def without_null(hint: Any) -> tuple[Any, bool]:
    """The type without `None`, and whether `None` was in it."""
    if get_origin(hint) not in (Union, types.UnionType):
        return hint, False
    (kind,) = (arg for arg in get_args(hint) if arg is not type(None))
    return kind, True


class _Reader:
    """Fills records and continues after a fault, so that all faults are found."""

    def __init__(self, known: Collection[str]) -> None:
        self.known = known  # every dotted key, for suggestions
        self.faults: list[str] = []

    def record(self, schema: type[T], values: Mapping[str, Any], place: str) -> T | None:
        """The record, or None if it has a fault. `place` is its dotted key followed by a dot, or empty."""
        hints, before, arguments = get_type_hints(schema), len(self.faults), {}
        for key in values.keys() - hints.keys():
            self.faults.append(f"{place}{key}: no such setting{did_you_mean(f'{place}{key}', self.known)}")
        for field in fields(schema):  # type: ignore[arg-type]
            key = place + field.name
            if field.name in values:
                arguments[field.name] = self.value(hints[field.name], values[field.name], key)
            elif field.default is MISSING:
                self.faults.append(f"{key}: expected a value, got none; say {key}=...")
        if len(self.faults) > before:
            return None
        try:
            return schema(**arguments)
        except ConfigError as error:
            self.faults += [place + fault for fault in str(error).split("; ")]
            return None

    def value(self, hint: Any, value: Any, key: str) -> Any:
        """The value in its type, or None if it has a fault."""
        kind, may_be_null = without_null(hint)
        if kind is Any or (value is None and may_be_null):
            return value
        if is_dataclass(kind) and isinstance(value, Mapping):
            return self.record(kind, value, f"{key}.")  # type: ignore[arg-type]
        if get_origin(kind) is dict and isinstance(value, Mapping):
            return dict(value)
        if get_origin(kind) is list and isinstance(value, list):
            return value
        if get_origin(kind) is Literal and value in get_args(kind):
            return value
        if kind is Path and isinstance(value, str) and value:
            try:
                return Path(os.path.abspath(user_path(value, key)))
            except ConfigError as error:
                self.faults.append(str(error))
                return None
        if kind is float and type(value) is int:
            return float(value)
        if kind is str and isinstance(value, str) and (half := SURROGATE.search(value)):
            self.faults.append(
                f"{key}: expected text in UTF-8, got {value[: half.start()]!r:.60} and a byte that is none"
            )
            return None
        if kind in (int, float, bool, str) and type(value) is kind:
            return value
        self.faults.append(f"{key}: expected {_expected(kind, may_be_null)}, got {_shown(value)}")
        return None


def _expected(kind: Any, may_be_null: bool) -> str:
    if get_origin(kind) is Literal:
        words = " or ".join(map(str, get_args(kind)))
    elif is_dataclass(kind):
        words = f"a section with {', '.join(get_type_hints(kind))}"
    else:
        words = _WORDS.get(kind, "a list" if get_origin(kind) is list else "a mapping")
    return f"{words} or null" if may_be_null else words


def _shown(value: Any) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)
