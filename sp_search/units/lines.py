"""One utterance a line: `units <s> labels`, `name|units|labels` and JSON lines, told apart by content.

Every line is checked before any is used; all bad lines are counted, the first ten named.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from sp_search.errors import DataError

SHOWN_FAULTS = 10
LABELS = "labels"
"""Where a JSON line has its answer, unless a task says otherwise."""


@dataclass(frozen=True)
class Line:
    """One utterance as written."""

    id: str
    units: tuple[str, ...]
    labels: tuple[str, ...] | None  # None where a JSON line says null: it is of other tasks


class LineError(Exception):
    """What is wrong with one line: expected and got."""


Parser = Callable[[str, int], Line]


def read_lines(
    lines: Iterable[str], place: str, known: Callable[[str], bool], *, labelled: bool, field: str = LABELS
) -> list[Line]:
    """Parse all lines of a manifest; as `each_line`, all at once."""
    return list(each_line(lines, place, known, labelled=labelled, field=field))


def each_line(
    lines: Iterable[str], place: str, known: Callable[[str], bool], *, labelled: bool, field: str = LABELS
) -> Iterator[Line]:
    """Parse a manifest line by line; what came before an error is not to be used.

    Args:
        lines: with or without line ends.
        place: file name for messages.
        known: whether the dictionary has a unit; it may raise a LineError that says more.
        labelled: whether every line must have labels; else they may be missing. A JSON line whose labels are null is
            then left out.
        field: where a JSON line has its labels.

    Raises:
        DataError: lines are bad, or there are none; after the last line.
    """
    faults: list[str] = []
    count = found = 0
    known_units: dict[str, bool] = {}
    parse: Parser | None = None
    for number, raw in enumerate(lines, 1):
        text = raw.strip()
        parse = parse or parser_of(text, field)
        try:
            line = parse(text, number)
            _check(line, known, known_units, labelled, _place_of_labels(text, field))
        except LineError as error:
            count += 1
            if count <= SHOWN_FAULTS:
                faults.append(f"line {number}: {error}")
        else:
            if line.labels is not None or not labelled:
                found += 1
                yield line
    if count:
        more = f" (and {count - SHOWN_FAULTS} more)" if count > SHOWN_FAULTS else ""
        raise DataError(f"{place}: {count} bad lines: " + "; ".join(faults) + more)
    if not found:
        raise DataError(
            f"{place}: expected at least one utterance, got {'none with labels' if parse else 'an empty file'}"
        )


def parser_of(text: str, field: str) -> Parser:
    """The parser for a file whose first line is this."""
    if text.startswith("{"):
        return partial(parse_json, field=field)
    return parse_named if "|" in text else parse_plain


def parse_plain(text: str, number: int) -> Line:
    """`u1 u2 u3 <s> label label`; without `<s>` only where labels may be missing."""
    words = text.split()
    if (found := words.count("<s>")) > 1:
        raise LineError(f"expected one `<s>` between units and labels, got {found}")
    end = words.index("<s>") if found else len(words)
    return Line(f"{number}", tuple(words[:end]), tuple(words[end + 1 :]))


def parse_named(text: str, number: int) -> Line:
    """`name|u1 u2 u3|label label`."""
    parts = text.split("|")
    if len(parts) not in (2, 3):
        raise LineError(f"expected name|units|labels, got {len(parts)} fields")
    if "<s>" in text:
        raise LineError("expected name|units|labels, got `<s>` as well")
    return Line(parts[0].strip(), tuple(parts[1].split()), tuple(parts[2].split()) if len(parts) == 3 else ())


def parse_json(text: str, number: int, field: str) -> Line:
    """`{"id": ..., "units": [...] or "...", FIELD: [...] or "..." or null}`; other keys are left alone."""
    try:
        record = json.loads(text)
    except json.JSONDecodeError as error:
        raise LineError(f"expected a JSON object, got {error.msg} at column {error.colno}") from error
    if not isinstance(record, dict) or "units" not in record:
        raise LineError('expected a JSON object with "units", got none')
    labels = record.get(field, [])
    return Line(
        str(record.get("id", number)),
        _words(record["units"], "units"),
        None if labels is None else _words(labels, field),
    )


def _words(value: object, key: str) -> tuple[str, ...]:
    if isinstance(value, str):
        return tuple(value.split())
    if isinstance(value, list) and all(isinstance(item, str | int) for item in value):
        return tuple(map(str, value))
    raise LineError(f'expected "{key}" as a list or a string of words, got {value!r:.60}')


def _place_of_labels(text: str, field: str) -> str:
    return f'labels in "{field}"' if text.startswith("{") else "labels behind one `<s>`"


def _check(line: Line, known: Callable[[str], bool], cache: dict[str, bool], labelled: bool, where: str) -> None:
    if not line.units:
        raise LineError("expected at least one unit, got an empty utterance")
    if labelled and line.labels == ():
        raise LineError(f"expected {where}, got none")
    for unit in line.units:
        if unit not in cache:
            cache[unit] = known(unit)
        if not cache[unit]:
            raise LineError(
                f"expected units of the dictionary, got {unit!r}; was it made with another k-means model?"
            )
