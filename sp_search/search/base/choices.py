"""A sampler or a pruner as the settings name it: a name alone, or a mapping of `name` and further settings."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from sp_search.errors import ConfigError


@dataclass(frozen=True)
class Choice:
    """One of several known ways to do something, with its settings."""

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)


def read_choice(key: str, value: Any, known: Collection[str]) -> Choice:
    """A choice from a settings value: `tpe`, or `{name: tpe, n_startup_trials: 20}`.

    Args:
        key: dotted, of the setting.
        value: as YAML has it.
        known: the names that there are.

    Raises:
        ConfigError: the value has another form, or the name is unknown.
    """
    settings = dict(value) if isinstance(value, Mapping) else {"name": value}
    name = settings.pop("name", None)
    if not isinstance(name, str) or name not in known:
        got = "none" if name is None else repr(name)
        raise ConfigError(f"{key}: expected {', '.join(known)}, or a mapping with such a name, got {got}")
    return Choice(name, settings)
