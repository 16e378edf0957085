"""Reads a YAML file of a user into plain values, through the common text reader."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import yaml  # type: ignore[import-untyped]
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sp_search.errors import ConfigError, DataError
from sp_search.files.paths import check_file
from sp_search.files.text import text_lines

MOST_VALUES, MOST_REFERENCES = 10_000, 20
"""Limits on a file: values with aliases (`*name`) written out, and `${name}`. Nested, both grow without bound."""

_KINDS = {yaml.ScalarNode: "text", yaml.SequenceNode: "a list"}
"""Names for files that are no mapping."""


def read_yaml(path: Path, what: str) -> dict[str, Any]:
    """The mapping in a file. References (`${name}`) are not resolved.

    Args:
        path: of the file.
        what: the expected content, for the message.

    Raises:
        ConfigError: it can't be read, is no mapping, has a key twice, or would grow beyond what settings can be.
    """
    check_file(path, f"a YAML file of {what}", ConfigError)
    try:
        text = "\n".join(text_lines(path))
        root = yaml.compose(text, Loader=yaml.SafeLoader)  # an alias is the same node object as its anchor
        if root is None:
            return {}
        if not isinstance(root, yaml.MappingNode):
            raise ConfigError(f"{path}: expected a mapping of {what}, got {_KINDS[type(root)]}")
        if faults := [*_growth(root, text), *_repeated_keys(root, set())]:
            raise ConfigError("; ".join(f"{path}{fault}" for fault in faults))
        read = cast(dict[Any, Any], OmegaConf.to_container(OmegaConf.load(io.StringIO(text))))
    except yaml.MarkedYAMLError as error:
        line = f" line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{path}{line}: expected a YAML file of {what}, got {error.problem}") from error
    except (OSError, ValueError, RecursionError, yaml.YAMLError, OmegaConfBaseException) as error:
        raise ConfigError(f"{path}: expected a YAML file of {what}, got {one_line(error)}") from error
    except DataError as error:
        raise ConfigError(str(error)) from error
    return {str(key): value for key, value in read.items()}


def one_line(error: BaseException) -> str:
    """The text of a library's error without line breaks; that of its cause if it has none."""
    return " ".join(str(error).split()) or (one_line(error.__cause__) if error.__cause__ else type(error).__name__)


def _growth(root: yaml.Node, text: str) -> Iterator[str]:
    """Faults that would make a file grow without bound."""
    sizes: dict[int, float] = {}
    if (size := _size(root, sizes)) == math.inf:
        yield ": expected aliases (*name) of what comes before them, got one inside of what it stands for"
    elif size > MOST_VALUES:
        yield f": expected up to {MOST_VALUES:,} values, got {size:,} with aliases (*name) written out"
    if (count := text.count("${")) > MOST_REFERENCES:
        yield f": expected up to {MOST_REFERENCES} references (${{name}}), got {count:,}"


def _size(node: yaml.Node, sizes: dict[int, float]) -> float:
    """The number of values in a node with its aliases written out; inf if the node contains itself."""
    if id(node) not in sizes:
        sizes[id(node)] = math.inf
        sizes[id(node)] = 1 + sum(_size(child, sizes) for child in _children(node))
    return sizes[id(node)]


def _repeated_keys(node: yaml.Node, seen: set[int]) -> Iterator[str]:
    """A fault for every key that occurs twice in its mapping."""
    if id(node) in seen:
        return
    seen.add(id(node))
    lines: dict[str, int] = {}
    for key, _ in node.value if isinstance(node, yaml.MappingNode) else []:
        if isinstance(key, yaml.ScalarNode):
            line = key.start_mark.line + 1
            if key.value in lines:
                yield f" line {line}: expected each key once, got {key.value} again, as in line {lines[key.value]}"
            lines.setdefault(key.value, line)
    for child in _children(node):
        yield from _repeated_keys(child, seen)


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [child for pair in node.value for child in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []
