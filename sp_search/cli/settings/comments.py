"""What is said of each setting where it is defined: the comments in `search_spaces/` and in the settings records.

This is the one source of `--help`, of tab completion and of the reference in the docs.
"""

from __future__ import annotations

import inspect
import io
import tokenize
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from importlib.resources import files
from typing import Any, get_type_hints

import yaml  # type: ignore[import-untyped]

from sp_search.cli.settings.from_dict import without_null

GLOBAL = "# @package _global_"
"""The first line of a file in a group whose keys are seen from the top, not from the group's name."""


def setting_comments(schema: type, chosen: Mapping[str, str]) -> dict[str, str]:
    """The comment of each setting, by its dotted key. That in `search_spaces/` comes before that of the record.

    Args:
        schema: the command's record.
        chosen: the option of each group, whose file is read.
    """
    found = {key: text for key, text in record_comments(schema).items() if text}
    found |= yaml_comments("config.yaml", "")
    for group, option in chosen.items():
        found |= yaml_comments(f"{group}/{option}.yaml", f"{group}.")
    return found


def yaml_comments(name: str, prefix: str) -> dict[str, str]:
    """The comments of a file in `search_spaces/`, by dotted key; none where there is no such file."""
    path = files("search_spaces") / name
    if not path.is_file():
        return {}
    text = path.read_text(encoding="utf-8")
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    start = "" if text.startswith(GLOBAL) else prefix
    return dict(_of_node(root, start, text.splitlines())) if isinstance(root, yaml.MappingNode) else {}


def group_comment(group: str, option: str) -> str:
    """The comment at the beginning of an option's file: what the option is."""
    path = files("search_spaces") / group / f"{option}.yaml"
    if not path.is_file():
        return ""
    lines = path.read_text(encoding="utf-8").splitlines()
    comment = []
    for line in lines[lines[:1] == [GLOBAL] :]:
        if not line.startswith("# "):
            break
        comment.append(line.removeprefix("# "))
    return " ".join(comment)


def record_comments(schema: type, prefix: str = "") -> dict[str, str]:
    """The comments of a record's fields and of those of its sections, by dotted key; "" where a field has none."""
    own = {name: text for base in reversed(schema.__mro__) if is_dataclass(base) for name, text in _of_source(base)}
    found: dict[str, str] = {}
    hints = get_type_hints(schema)
    for field in fields(schema):
        kind, _ = without_null(hints[field.name])
        key = f"{prefix}{field.name}"
        if is_dataclass(kind):
            found |= record_comments(kind, f"{key}.")  # type: ignore[arg-type]
        found.setdefault(key, own.get(field.name, ""))
    return found


def record_doc(schema: type, section: str) -> str:
    """The first line of the docstring of a section's record."""
    kind, _ = without_null(get_type_hints(schema)[section])
    return (inspect.getdoc(kind) or "").partition("\n")[0] if is_dataclass(kind) else ""


def _of_node(node: Any, prefix: str, lines: list[str]) -> Iterator[tuple[str, str]]:
    for name, value in node.value:
        key = f"{prefix}{name.value}"
        if isinstance(value, yaml.MappingNode) and not value.flow_style:
            yield from _of_node(value, f"{key}.", lines)
            end = name.end_mark
        else:
            end = name.end_mark if value.start_mark.line > name.end_mark.line else value.end_mark
        _, sign, comment = lines[end.line][end.column :].partition("# ")
        if sign:
            yield key, comment.strip()


@cache
def _of_source(record: Any) -> tuple[tuple[str, str], ...]:
    """Name and comment of the fields that a record defines itself, off its source."""
    found: dict[str, str] = {}
    source = inspect.cleandoc("\n" + inspect.getsource(record))
    name, depth, at_start = "", 0, True
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.NAME and at_start and depth == 0 and token.string in record.__annotations__:
            name = token.string
        depth += (token.string in "([{") - (token.string in ")]}") if token.type == tokenize.OP else 0
        if token.type == tokenize.COMMENT and name:
            found.setdefault(name, token.string.removeprefix("#").strip())
        if token.type == tokenize.NEWLINE:
            name = ""
        at_start = token.type in (tokenize.NEWLINE, tokenize.NL, tokenize.INDENT, tokenize.COMMENT, tokenize.DEDENT)
    return tuple(found.items())
