"""What `sp-search COMMAND --help` prints: what the command does, its groups, and every setting with its value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import MISSING, fields
from types import ModuleType
from typing import Any

from sp_search.cli.compose import compose_values
from sp_search.cli.overrides import GROUPS, SHORT, TAKES_PATH, options
from sp_search.cli.records import leaves


def command_help(name: str, command: ModuleType, schema: type, words: Sequence[str]) -> str:
    """The help of one command; the words change the values that it shows.

    Raises:
        ConfigError: a word is wrong.
    """
    groups = [
        f"  {group}={'|'.join([*options(group), *([TAKES_PATH[group]] if group in TAKES_PATH else [])])}"
        for group in GROUPS
    ]
    values = {field.name: field.default for field in fields(schema)} | compose_values(words, schema)
    space = values["space"]
    settings = [f"  {line}" for key in leaves(schema) if key != "space" for line in _setting(key, values)]
    return "\n".join(
        [
            f"usage: sp-search {name} [key=value ...]",
            f"\n{(command.__doc__ or '').strip()}",
            "\ngroups, a set of values each:",
            *groups,
            f"\nwithout their section: {', '.join(SHORT)}",
            "\nsettings:",
            *settings,
            f"  space.NAME=...  of {', '.join(space)}" if isinstance(space, dict) else "  space=  (needed)",
        ]
    )


def _setting(key: str, values: dict[str, Any]) -> list[str]:
    """A setting with its value; a section that may be null has a line for each of its own."""
    value: Any = values
    for part in key.split("."):
        value = value[part]
    if value is MISSING:
        return [f"{key}=  (needed)"]
    if isinstance(value, dict):
        return [f"{key}.{name}={_shown(inner)}" for name, inner in value.items()]
    return [f"{key}={_shown(value)}"]


def _shown(value: Any) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
