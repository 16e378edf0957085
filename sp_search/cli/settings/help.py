"""The help of `sp-search COMMAND --help`: what the command does, its groups, and every setting with its value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import MISSING, fields
from types import ModuleType
from typing import Any, Literal, get_args, get_origin

from sp_search.cli.settings.compose import compose_values
from sp_search.cli.settings.from_dict import leaves, without_null
from sp_search.cli.settings.overrides import GROUPS, SHORT, TAKES_PATH, options
from sp_search.config import Settings


def command_help(name: str, command: ModuleType, schema: type, words: Sequence[str]) -> str:
    """The help of one command. It shows the values of settings as the words change them.

    Raises:
        ConfigError: a word is wrong.
    """
    groups = [
        f"  {group}={'|'.join([*options(group), *([TAKES_PATH[group]] if group in TAKES_PATH else [])])}"
        for group in GROUPS
    ]
    values = {field.name: field.default for field in fields(schema)} | compose_values(words, schema)
    space, common = values["space"], leaves(Settings)
    lines = {key: _setting(key, hint, values) for key, hint in leaves(schema).items() if key != "space"}
    own = [f"  {line}" for key in lines if key not in common for line in lines[key]]
    return "\n".join(
        [
            f"usage: sp-search {name} [key=value ...]",
            f"\n{(command.__doc__ or '').strip()}",
            *(["\nits own settings:", *own] if own else []),
            "\ngroups, a set of values each:",
            *groups,
            f"\nwithout their section: {', '.join(SHORT)}",
            "\nsettings:",
            *(f"  {line}" for key in lines if key in common for line in lines[key]),
            f"  space.NAME=...  of {', '.join(space)}" if isinstance(space, dict) else "  space=  (needed)",
        ]
    )


def _setting(key: str, hint: Any, values: dict[str, Any]) -> list[str]:
    """The line of a setting with its value and choices; a section that may be null has one line per setting in it."""
    value: Any = values
    for part in key.split("."):
        value = value[part]
    if value is MISSING:
        return [f"{key}=  (needed)"]
    if isinstance(value, dict):
        return [f"{key}.{name}={_shown(inner)}" for name, inner in value.items()]
    kind, _ = without_null(hint)
    choices = f"  ({', '.join(get_args(kind))})" if get_origin(kind) is Literal else ""
    return [f"{key}={_shown(value)}{choices}"]


def _shown(value: Any) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
