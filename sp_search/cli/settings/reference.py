"""What a command takes: its settings with their values and comments, the groups, and an example.

A command's module says which settings it reads in `READS` (dotted keys, or the beginnings of them), and how it is
typed in `EXAMPLE`. Help, tab completion and the docs are made from this record.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from importlib.resources import files
from types import ModuleType
from typing import Any, Literal, get_args, get_origin

import yaml  # type: ignore[import-untyped]

from sp_search.cli.settings.comments import (
    group_comment,
    record_comments,
    record_doc,
    setting_comments,
    yaml_comments,
)
from sp_search.cli.settings.compose import compose_values
from sp_search.cli.settings.from_dict import leaves, without_null
from sp_search.cli.settings.overrides import GROUPS, SHORT, TAKES_PATH, is_read, options
from sp_search.config import Settings
from sp_search.engine.trial.hparams import TrialHParams

OF_GROUPS = ("task.name", "task.title", "lm.name", "lm.path", "data.name", "data.path", "units.name")
"""Settings that a group sets and nobody types."""

OWN = "its own"
"""The section of the settings that a command alone has."""


@dataclass(frozen=True)
class Setting:
    """One setting of a command."""

    key: str  # dotted, as it is typed
    short: str  # its short name, else empty
    value: str  # of the command without other words; "" if it is needed
    needed: bool
    choices: tuple[str, ...]  # all legal values, where these are few
    comment: str
    section: str  # engine, schedule, ...; OWN for those that the command alone has


@dataclass(frozen=True)
class Group:
    """A set of values that goes by a name."""

    name: str
    value: str
    options: tuple[str, ...]
    path: str  # what a path leads to; "" where it takes none
    comment: str


@dataclass(frozen=True)
class Reference:
    """All that a command takes."""

    command: str
    about: str  # its docstring
    example: str
    plain: str  # the setting whose value may stand alone as the first word; "" if there is none
    groups: tuple[Group, ...]  # that it reads
    settings: tuple[Setting, ...]  # that it reads
    others: tuple[Setting, ...]  # all others
    sections: Mapping[str, str]  # what each section is

    @property
    def of_section(self) -> dict[str, list[Setting]]:
        """The settings that it reads, by section."""
        found: dict[str, list[Setting]] = {}
        for setting in self.settings:
            found.setdefault(setting.section, []).append(setting)
        return found


def command_reference(name: str, command: ModuleType, schema: type, words: Sequence[str] = ()) -> Reference:
    """What a command takes, with the values that the words give.

    Raises:
        ConfigError: a word is wrong.
    """
    reads: Collection[str] = command.READS
    chosen = _chosen(words)
    comments = setting_comments(schema, chosen)
    composed = {field.name: field.default for field in fields(schema)} | compose_values(words, schema)
    common = leaves(Settings)
    read: list[Setting] = []
    others: list[Setting] = []
    for key, hint in leaves(schema).items():
        if key == "space":
            continue
        is_own = key not in common
        for setting in _settings(key, hint, composed, comments, is_own):
            is_shown = is_own or (is_read(setting.key, reads) and setting.key not in OF_GROUPS)
            (read if is_shown else others).append(setting)
    if is_read("space", reads):
        read += _of_space(composed["space"], chosen["space"])
    groups = tuple(_group(group, chosen) for group in GROUPS if group in reads)
    sections = {s.section: record_doc(schema, s.section) for s in read if s.section not in (OWN, "space", "")}
    return Reference(
        command=name,
        about=(command.__doc__ or "").strip(),
        example=getattr(command, "EXAMPLE", f"sp-search {name}"),
        plain=getattr(command, "PLAIN", ""),
        groups=groups,
        settings=tuple(read),
        others=tuple(others),
        sections=sections,
    )


def _chosen(words: Sequence[str]) -> dict[str, str]:
    """The option of each group: that of the words, else the default."""
    keys = (word.partition("=") for word in words)
    typed = {key: value for key, equals, value in keys if key in GROUPS and equals}
    chosen = {**default_options(), **typed}
    chosen.setdefault("space", chosen["task"] if chosen["method"] == "prompt" else chosen["method"])
    return chosen


def default_options() -> dict[str, str]:
    """The option of each group that `config.yaml` takes; the space is that of the task or of the method."""
    text = (files("search_spaces") / "config.yaml").read_text(encoding="utf-8")
    found: dict[str, str] = {}
    for listed in yaml.safe_load(text)["defaults"]:
        of = dict([listed.partition("/")[::2]]) if isinstance(listed, str) else listed
        found |= {group: option for group, option in of.items() if option and "$" not in option}
    return found


def _group(name: str, chosen: Mapping[str, str]) -> Group:
    comment = group_comment(name, chosen.get(name, ""))
    return Group(name, chosen.get(name, ""), tuple(options(name)), TAKES_PATH.get(name, ""), comment)


def _settings(
    key: str, hint: Any, values: Mapping[str, Any], comments: Mapping[str, str], is_own: bool
) -> Iterator[Setting]:
    """A setting; or those inside of a section that may be null."""
    value: Any = values
    for part in key.split("."):
        value = value[part]
    section = OWN if is_own else key.partition(".")[0] if "." in key else ""
    if isinstance(value, dict):
        for name, inner in value.items():
            inside = f"{key}.{name}"
            yield Setting(inside, "", shown(inner), False, (), comments.get(inside, ""), section)
        return
    kind, _ = without_null(hint)
    choices = tuple(map(str, get_args(kind))) if get_origin(kind) is Literal else ("true", "false") * (kind is bool)
    needed = value is MISSING
    short = next((short for short, full in SHORT.items() if full == key), "")
    comment = comments.get(key, "")
    yield Setting(key, short, "" if needed else shown(value), needed, choices, comment, section)


def _of_space(space: Any, option: str) -> Iterator[Setting]:
    of_record = {f"space.{key.rpartition('.')[2]}": text for key, text in record_comments(TrialHParams).items()}
    comments = of_record | yaml_comments(f"space/{option}.yaml", "space.")
    for name, value in space.items() if isinstance(space, dict) else ():
        key = f"space.{name}"
        yield Setting(key, "", shown(value), False, (), comments.get(key, ""), "space")


def shown(value: Any) -> str:
    """A value as it is typed."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {shown(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(shown, value)) + "]"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
