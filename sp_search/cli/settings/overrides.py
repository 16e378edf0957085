"""Translates the words after a command, `key=value`, into a request for Hydra.

Hydra's own grammar is not suited to users: a group takes no path, a text with a comma is a sweep, and the error for a
mistyped key prints Hydra's search path. So words are sorted by their keys first. Only numbers, lists and the search
space go through Hydra's grammar.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, get_origin

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from sp_search.cli.settings.from_dict import did_you_mean, inside, leaves, without_null
from sp_search.cli.settings.yaml_file import one_line, read_yaml
from sp_search.errors import ConfigError
from sp_search.files.paths import is_there, user_path
from sp_search.published.catalogue import LMS

GROUPS = ("task", "lm", "data", "units", "method", "space", "schedule", "tracking", "cluster")
GIVEN = "given"
"""The name of the option for a path, or for an LM that has no file in `search_spaces/`."""

HOLDS = {"space": "ranges", "schedule": "schedule settings", "units": "unit settings"}
"""Groups whose option may be a YAML file, and the content of the file."""

TAKES_PATH = {"lm": "a folder or checkpoint", "data": "a folder", **dict.fromkeys(HOLDS, "a YAML file")}
"""Groups whose option may be a path, and what the path leads to."""
SHORT = {
    "trials": "schedule.trials",
    "batch_size": "schedule.batch_size",
    "dtype": "engine.dtype",
    "warm_start": "schedule.warm_start",
    "train_utterances": "data.train_utterances",
    **{name: f"space.{name}" for name in ("prompt_length", "depth", "side", "position")},
}
"""Short names of settings that are often typed."""


@dataclass(frozen=True)
class Request:
    """A request for Hydra."""

    hydra: list[str] = field(default_factory=list)  # overrides in Hydra's grammar
    texts: dict[str, str] = field(default_factory=dict)  # dotted key -> text as typed, set after composing
    given: dict[str, dict[str, Any]] = field(default_factory=dict)  # group -> the option made from a path


def options(group: str) -> list[str]:
    """The names of a group's options: its files in `search_spaces/`, for lm also the published LMs."""
    folder = files("search_spaces") / group
    inside = folder.iterdir() if folder.is_dir() else ()
    names = sorted(file.name.removesuffix(".yaml") for file in inside if file.name.endswith(".yaml"))
    return names + list(LMS) if group == "lm" else names


def sort_overrides(words: Sequence[str], schema: type) -> Request:
    """Sort the words of a command with the settings `schema`. If two words have the same key, the last one counts.

    Raises:
        ConfigError: a word is no override, its key is unknown, or its option or path does not exist; all are named.
    """
    request, faults, known = Request(), [], leaves(schema)
    for word in _last_of_each_key(words):
        try:
            _sort(word, request, known)
        except ConfigError as error:
            faults.append(str(error))
    if faults:
        raise ConfigError("; ".join(faults))
    return request


def _last_of_each_key(words: Sequence[str]) -> list[str]:
    kept: dict[str, str] = {}
    for word in words:
        key = _full(word.partition("=")[0].lstrip("+~"))
        kept.pop(key, None)
        kept[key] = word
    return list(kept.values())


def _full(key: str) -> str:
    return SHORT.get(key, key)


def _sort(word: str, request: Request, known: dict[str, Any]) -> None:
    key, equals, value = word.partition("=")
    if key.startswith("~space."):
        request.hydra.append(_in_grammar(word))
        return
    key = _full(key.lstrip("+"))
    if not equals:
        raise ConfigError(f"{word}: expected key=value{did_you_mean(key, [*GROUPS, *SHORT, *known])}")
    if key in GROUPS:
        _choose(key, value, request)
    elif key.startswith("space."):
        request.hydra.append(_in_grammar(f"++{key}={value}"))
    elif (hint := known.get(key, inside(known, key))) is None:
        within = [name for name in known if name.startswith(f"{key}.")]
        hint = f"; expected one of {', '.join(within)}" if within else did_you_mean(key, [*GROUPS, *SHORT, *known])
        raise ConfigError(f"{key}: no such setting{hint}")
    elif _is_text(hint, value):
        request.texts[key] = value
    else:
        request.hydra.append(_in_grammar(f"++{key}={value}"))


def _choose(group: str, value: str, request: Request) -> None:
    """Set a group to one of its options, or to a file or folder."""
    names = options(group)
    if group == "lm" and (value in LMS or value.startswith("random:")):
        request.given[group] = {"name": value, "path": None}
        request.hydra.append(f"{group}={GIVEN}")
        return
    if value in names:
        request.hydra.append(f"{group}={value}")
        return
    path = user_path(value, group).absolute() if value and group in TAKES_PATH else None
    if path is None or not is_there(path):
        what = [*names, *([f"{TAKES_PATH[group]} that exists"] if group in TAKES_PATH else [])]
        near = did_you_mean(value, names)
        raise ConfigError(f"{group}: expected {' or '.join(what)}, got {value!r}{near}")
    if group in HOLDS:
        named = {"name": path.stem} if group == "units" else {}
        request.given[group] = named | read_yaml(path, HOLDS[group])
    else:
        request.given[group] = {"name": _name_of(path), "path": str(path)}
    request.hydra.append(f"{group}={GIVEN}")


def _name_of(path: Path) -> str:
    """The name of the folder; for a checkpoint that of its folder, because all checkpoints have the same name."""
    path = path.resolve()
    return path.name if path.is_dir() else path.parent.name


def _is_text(hint: Any, value: str) -> bool:
    kind, may_be_null = without_null(hint)
    return (kind in (str, Path) or get_origin(kind) is Literal) and not (may_be_null and value == "null")


def _in_grammar(word: str) -> str:
    """The word, if Hydra's grammar reads one value in it."""
    try:
        override = OverridesParser.create().parse_override(word)
    except HydraException as error:
        raise ConfigError(f"{word.lstrip('+')}: expected a value, got {one_line(error)}") from error
    if override.is_sweep_override():
        key, _, value = word.lstrip("+").partition("=")
        raise ConfigError(f"{key}: expected one value, got {value}; a list is written {key}=[{value}]")
    return word
