"""The three forms of a line, and what each says of its utterance."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from sp_search.files.json_line import LineError, json_value

LABELS = "labels"
"""Where a JSON line has its answer, unless a task says otherwise."""
PLAIN, NAMED, JSON = ("units <s> labels", "name|units|labels", "JSON lines")


@dataclass(frozen=True)
class Line:
    """One utterance as written."""

    id: str
    units: tuple[str, ...]
    labels: tuple[str, ...] | None  # in NFC; None where a JSON line says null: it is of other tasks


Parser = Callable[[str, int], Line]


def form_of(text: str) -> str:
    """The form of a line that is not blank; units alone are PLAIN. A `|` behind `<s>` is a label."""
    if text[0] in "{[":
        return JSON
    return NAMED if "|" in text.partition("<s>")[0] else PLAIN


def parser_of(form: str, field: str) -> Parser:
    """What reads a line of a form, and its number."""
    parsers: dict[str, Parser] = {PLAIN: parse_plain, NAMED: parse_named, JSON: partial(parse_json, field=field)}
    return parsers[form]


def parse_plain(text: str, number: int) -> Line:
    """`u1 u2 u3 <s> label label`; without `<s>` only where labels may be missing."""
    words = text.split()
    if (found := words.count("<s>")) > 1:
        raise LineError(f"expected one `<s>` between units and labels, got {found}")
    end = words.index("<s>") if found else len(words)
    return Line(f"{number}", tuple(words[:end]), normal(words[end + 1 :]))


def parse_named(text: str, number: int) -> Line:
    """`name|u1 u2 u3|label label`."""
    parts = text.split("|")
    if len(parts) not in (2, 3):
        raise LineError(f"expected name|units|labels, got {len(parts)} fields")
    if "<s>" in text:
        raise LineError("expected name|units|labels, got `<s>` as well")
    return Line(parts[0].strip(), tuple(parts[1].split()), normal(parts[2].split()) if len(parts) == 3 else ())


def parse_json(text: str, number: int, field: str) -> Line:
    """`{"id": ..., "units": [...] or "...", FIELD: [...] or "..." or null}`; other keys are left alone."""
    record = json_value(text)
    if not isinstance(record, dict) or "units" not in record:
        raise LineError('expected a JSON object with "units", got none')
    labels, name = record.get(field, []), record.get("id")
    return Line(
        str(number if name is None else name),
        _units(record["units"]),
        None if labels is None else normal(_words(labels, field)),
    )


def normal(labels: Iterable[str]) -> tuple[str, ...]:
    """Labels in Unicode's form NFC, in which one text has one spelling."""
    return tuple(label if label.isascii() else unicodedata.normalize("NFC", label) for label in labels)


def _units(value: object) -> tuple[str, ...]:
    if isinstance(value, list) and any(isinstance(item, float) for item in value):
        first = next(item for item in value if isinstance(item, float))
        raise LineError(f'expected "units" as whole numbers, got {first!r}; were they written as floats?')
    if isinstance(value, list) and any(isinstance(item, list) for item in value):
        raise LineError(f'expected "units" of one utterance, got a list in a list: {value!r:.60}')
    return _words(value, "units")


def _words(value: object, key: str) -> tuple[str, ...]:
    if isinstance(value, str):
        return tuple(value.split())
    if type(value) is int and key != "units":
        return (str(value),)  # one label that is a number, such as a count of speakers
    if isinstance(value, list) and all(isinstance(item, str | int) and type(item) is not bool for item in value):
        words = tuple(map(str, value))
        if all(word.strip() for word in words):
            return words
    raise LineError(f'expected "{key}" as a list or a string of words, got {value!r:.60}')
