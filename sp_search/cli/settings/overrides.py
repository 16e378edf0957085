"""Translates the words after a command, `key=value`, into a request for Hydra.

Hydra's own grammar is not suited to users: a group takes no path, a text with a comma is a sweep, and the error for a
mistyped key prints Hydra's search path. So words are sorted by their keys first. Only numbers, lists and the search
space go through Hydra's grammar.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, get_origin
from urllib.parse import unquote

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from sp_search.cli.settings.from_dict import did_you_mean, inside, leaves, without_null
from sp_search.cli.settings.yaml_file import one_line, read_yaml
from sp_search.config import Settings
from sp_search.errors import ConfigError
from sp_search.files.by_content import is_address
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
    request, faults, known = Request(), _with_blanks(words), leaves(schema)
    if faults:
        raise ConfigError("; ".join(faults))
    for word in last_of_each_key(words):
        try:
            _sort(word, request, known)
        except ConfigError as error:
            faults.append(str(error))
    if faults:
        raise ConfigError("; ".join(faults))
    return request


def is_read(key: str, reads: Collection[str]) -> bool:
    """Whether a setting is among those that a command reads."""
    return any(key == read or key.startswith(f"{read}.") for read in reads)


def reads_group(group: str, reads: Collection[str]) -> bool:
    """Whether a command reads a group, or a setting in it."""
    return any(read == group or read.startswith(f"{group}.") for read in reads)


def unread_words(words: Sequence[str], reads: Collection[str], schema: type) -> list[str]:
    """The keys of words that name a setting which a command does not read."""
    own = leaves(schema).keys() - leaves(Settings).keys()
    keys = [full_key(word.partition("=")[0].lstrip("+~")) for word in words]
    return [
        key
        for key in dict.fromkeys(keys)
        if key not in own and not (reads_group(key, reads) if key in GROUPS else is_read(key, reads))
    ]


def last_of_each_key(words: Sequence[str]) -> list[str]:
    """The words that count: of those with the same key the last one, without a `+` in front."""
    kept: dict[str, str] = {}
    for word in words:
        key = full_key(word.partition("=")[0].lstrip("+~"))
        kept.pop(key, None)
        kept[key] = word.lstrip("+")
    return list(kept.values())


def full_key(key: str) -> str:
    """The dotted key of a short one; any other key as it is."""
    return SHORT.get(key, key)


def _sort(word: str, request: Request, known: dict[str, Any]) -> None:
    key, equals, value = word.partition("=")
    if key.startswith("~space."):
        request.hydra.append(_in_grammar(word))
        return
    key = full_key(key.lstrip("+"))
    if not equals:
        raise ConfigError(f"{word}: expected key=value{_meant_without_equals(word, known)}")
    if key in GROUPS:
        _choose(key, value, request)
    elif key.startswith("space."):
        request.hydra.append(_in_grammar(f"++{key}={value}"))
    elif (hint := known.get(key, inside(known, key))) is None:
        raise ConfigError(f"{key}: no such setting{_meant(key, value, known)}")
    elif _is_text(hint, value):
        request.texts[key] = value
    else:
        request.hydra.append(_in_grammar(f"++{key}={value}"))


def _with_blanks(words: Sequence[str]) -> list[str]:
    """A fault for each `key = value`, which a shell hands over as several words."""
    faults = []
    for number, word in enumerate(words):
        before, behind = words[number - 1] if number else "", words[number + 1] if number + 1 < len(words) else ""
        if word.startswith("="):
            key, value = before, word[1:] or behind
        elif word.endswith("=") and word.count("=") == 1 and behind and "=" not in behind:
            key, value = word[:-1], behind
        else:
            continue
        faults.append(f"{key} = {value}: expected no blanks around =; say {key}={value}")
    return faults


def _meant_without_equals(word: str, known: Mapping[str, Any]) -> str:
    """What somebody may mean by a word without `=`: the option of a group, a switch, or a key."""
    if word.startswith("-"):
        key = word.lstrip("-").replace("-", "_")
        return f"; settings have no dashes, say {key}=..." if full_key(key) in known or key in GROUPS else ""
    if groups := [group for group in GROUPS if word in options(group)]:
        return f"; did you mean {' or '.join(f'{group}={word}' for group in groups)}?"
    return f"; say {word}=..." if full_key(word) in known or word in GROUPS else did_you_mean(word, _keys(known))


def _meant(key: str, value: str, known: Mapping[str, Any]) -> str:
    """What somebody may mean by a key that is unknown."""
    if within := [name for name in known if name.startswith(f"{key}.")]:
        return f"; expected one of {', '.join(within)}"
    bare = key.lstrip("-").replace("-", "_")
    if bare != key and (full_key(bare) in known or bare in GROUPS):
        return f"; settings have no dashes, say {bare}={value}"
    if key in _space_parameters():
        return f"; it is searched: say space.{key}={value} to fix it"
    return did_you_mean(key, _keys(known))


def _keys(known: Mapping[str, Any]) -> list[str]:
    return [*GROUPS, *SHORT, *known]


@cache
def _space_parameters() -> frozenset[str]:
    """The parameters that the spaces in `search_spaces/` have."""
    lines = (line for name in options("space") for line in _space_file(name).splitlines())
    return frozenset(line.partition(":")[0] for line in lines if line[:1].isalpha()) - {"defaults"}


def _space_file(name: str) -> str:
    return (files("search_spaces") / "space" / f"{name}.yaml").read_text(encoding="utf-8")


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
    if group in ("lm", "data") and is_address(value):
        request.given[group] = {"name": unquote(value.partition("?")[0].rpartition("/")[2]), "path": value}
        request.hydra.append(f"{group}={GIVEN}")
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
        request.given[group] = {"name": name_of(path), "path": str(path)}
    request.hydra.append(f"{group}={GIVEN}")


def name_of(path: Path) -> str:
    """What an LM or a corpus is called: as its folder, also for a checkpoint, since all checkpoints have one name."""
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
    except ValueError as error:  # an integer of thousands of digits
        raise ConfigError(f"{word.lstrip('+'):.60}...: expected a value, got a number that is too long") from error
    if override.is_sweep_override():
        key, _, value = word.lstrip("+").partition("=")
        raise ConfigError(f"{key}: expected one value, got {value}; a list is written {key}=[{value}]")
    return word
