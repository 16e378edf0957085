"""JSON whose objects have each key once: Python's own reader takes the last of two values and says nothing."""

from __future__ import annotations

import json
import re
from typing import Any

TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}:\n]')
"""Strings, and what tells a key from a value and one line from the next."""


class RepeatedKeyError(ValueError):
    """An object has a key twice. The text names the key; that of `json_document` the lines too."""


def each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An `object_pairs_hook` for `json`; raises RepeatedKeyError."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise RepeatedKeyError(f"expected each key once, got {json.dumps(twice)} twice")
    return found


def json_document(raw: bytes) -> Any:
    """The value of a JSON file.

    Raises:
        RepeatedKeyError: `line 4: expected each key once, got "lm" again, as in line 2`.
        ValueError: it is no JSON, or nested too deeply.
    """
    text = raw.decode(json.detect_encoding(raw))
    try:
        return json.loads(text, object_pairs_hook=each_key_once)
    except RepeatedKeyError as error:
        name, before, line = _repeated(text)
        raise RepeatedKeyError(
            f"line {line}: expected each key once, got {name} again, as in line {before}"
        ) from error
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _repeated(text: str) -> tuple[str, int, int]:
    """The first key of valid JSON that its object has already, in quotes, and the lines of both."""
    objects: list[dict[str, int]] = []
    line, string, string_line = 1, "", 1
    for match in TOKEN.finditer(text):
        token = match.group()
        if token == "\n":
            line += 1
        elif token == "{":
            objects.append({})
        elif token == "}":
            objects.pop()
        elif token == ":":
            name = str(json.loads(string))
            if name in objects[-1]:
                return json.dumps(name), objects[-1][name], string_line
            objects[-1][name] = string_line
        else:
            string, string_line = token, line
    raise AssertionError("no key is there twice")
