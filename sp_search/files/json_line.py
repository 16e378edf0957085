"""One JSON value a line; and the error of a line, whose place its reader knows."""

from __future__ import annotations

import json
import re
from typing import Any

from sp_search.files.json_keys import RepeatedKeyError, each_key_once

SURROGATE = re.compile("[\ud800-\udfff]")
"""Half of a character, as a JSON escape can write it; no text in UTF-8 can hold it."""
ESCAPED = re.compile(r"\\u[dD][89a-fA-F]")
"""How one may come about: lines without this need not be looked through."""


class LineError(Exception):
    """What is wrong with one line: expected and got. Who reads the file adds its name and the line's number."""


def json_value(line: str) -> Any:
    """The value of a line.

    Raises:
        LineError: it is no JSON, is nested too deeply, has a key twice, a number too long to read, NaN, or half a
            character.
    """
    try:
        value = json.loads(line, parse_constant=_refuse_constant, object_pairs_hook=each_key_once)
    except RepeatedKeyError as error:
        raise LineError(str(error)) from error
    except json.JSONDecodeError as error:
        raise LineError(f"expected a JSON object, got {error.msg} at column {error.colno}") from error
    except RecursionError as error:
        raise LineError("expected a JSON object, got one nested too deeply") from error
    except ValueError as error:  # an integer of thousands of digits
        raise LineError("expected a JSON object, got a number that is too long to read") from error
    if ESCAPED.search(line) and (half := _half_character(value)):
        raise LineError(f"expected whole characters, got half of one (\\u{ord(half):04x}) in a JSON escape")
    return value


def _refuse_constant(name: str) -> Any:
    raise LineError(f"expected a JSON object, got {name}, which JSON does not have")


def _half_character(value: Any) -> str:
    """The first lone surrogate in a value, keys too; "" where there is none."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            if found := SURROGATE.search(one):
                return found.group()
        elif isinstance(one, dict):
            waiting += [*one.keys(), *one.values()]
        elif isinstance(one, list):
            waiting += one
    return ""
