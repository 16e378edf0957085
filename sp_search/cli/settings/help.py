"""The text of `sp-search COMMAND --help` and `--help-all`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from textwrap import wrap

from sp_search.cli.settings.reference import OWN, Group, Reference, Setting

WIDTH = 110
LONGEST_VALUE = 44
"""Characters of a value that are shown."""
INDENT, COLUMN = 2, 40
"""Where keys begin, and comments."""


def command_help(reference: Reference, *, everything: bool = False) -> str:
    """The help of one command.

    Args:
        reference: what it takes.
        everything: list also the settings that it does not read.
    """
    name = reference.command
    needed = [setting for setting in reference.settings if setting.needed]
    typed = "".join(
        f" {setting.key.upper()}" if setting.key == reference.plain else f" {setting.key}=..." for setting in needed
    )
    sections = reference.of_section
    own, plain = sections.pop(OWN, []), sections.pop("", [])
    lines = [
        f"usage: sp-search {name}{typed} [key=value ...]",
        f"\n{reference.about}",
        *_block("needed", needed),
        *_block("settings of this command", [setting for setting in own if not setting.needed]),
        *_groups(reference.groups),
        *_block("places", plain),
    ]
    for section, settings in sections.items():
        about = reference.sections.get(section, "")
        lines += _block(
            f"{section}: {about}" if about else f"{section}.NAME: what is searched, or a fixed value", settings
        )
    if everything:
        lines += _block("all other settings: this command does not read them, or a group sets them", reference.others)
    lines.append(f"\nexample:\n  {reference.example}")
    more = "" if everything else f"\n\nsp-search {name} --help-all lists all settings."
    return "\n".join(lines) + more


def _block(title: str, settings: Sequence[Setting]) -> list[str]:
    if not settings:
        return []
    return [f"\n{title}", *(line for setting in settings for line in _setting(setting))]


def _setting(setting: Setting) -> Iterator[str]:
    value = setting.value if len(setting.value) <= LONGEST_VALUE else f"{setting.value[: LONGEST_VALUE - 3]}..."
    told = [setting.comment] if setting.comment else []
    if setting.choices and not all(choice in setting.comment for choice in setting.choices):
        told.append(f"one of {', '.join(setting.choices)}")
    if setting.short:
        told.append(f"short: {setting.short}=")
    yield from _columns(f"{setting.key}={value}", "; ".join(told))


def _groups(groups: Iterable[Group]) -> list[str]:
    found = [line for group in groups for line in _group(group)]
    return ["\ngroups: a name stands for a set of values", *found] if found else []


def _group(group: Group) -> Iterator[str]:
    names = ", ".join(group.options)
    choices = f"{names}, or {group.path}" if group.path else names
    yield from _columns(f"{group.name}={group.value}", choices)
    if group.comment:
        yield from _columns("", f"now: {group.comment}")


def _columns(key: str, comment: str) -> Iterator[str]:
    """The key on the left and the comment on the right; a long key has a line of its own."""
    lines = wrap(comment, WIDTH - COLUMN) or [""]
    left = " " * INDENT + key
    if len(left) >= COLUMN - 1:
        yield left
        left = ""
    for number, line in enumerate(lines):
        text = f"{left if number == 0 else '':<{COLUMN}}{line}".rstrip()
        if text:
            yield text
