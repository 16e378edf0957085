"""CSV with a header, a row a line: a quote that is not closed costs its own row, and never those behind it."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from sp_search.files.json_line import LineError

LONGEST_FIELD = 1 << 28
"""Characters; the module's own limit is less than a long utterance's units."""
LINES_OF_A_ROW = 100
"""A note may have line ends in it, but not more than so many."""


@dataclass(frozen=True)
class Row:
    """A row, or what is wrong with it."""

    number: int  # of the line on which it begins
    values: dict[str, str]
    fault: str = ""


def column_names(header: str) -> list[str]:
    """The names in a header; none where it is no CSV."""
    try:
        return [name.strip() for name in _fields(header)]
    except csv.Error:
        return []


def rows(lines: Iterator[tuple[int, str]], names: list[str], on_one_line: Collection[str]) -> Iterator[Row]:
    """The rows behind a header; blank lines are none.

    Args:
        lines: with their numbers, without their ends, from behind the header.
        names: of the columns.
        on_one_line: columns whose text has no line ends: one that has them is a quote that was not closed.
    """
    csv.field_size_limit(LONGEST_FIELD)
    waiting: list[tuple[int, str]] = []  # read ahead in search of a closing quote
    while True:
        number, line = waiting.pop(0) if waiting else next(lines, (0, ""))
        if not number:
            return
        if not line.strip():
            continue
        try:
            values, taken = _row(line, waiting, lines, len(names))
            del waiting[:taken]
            yield _checked(number, values, names, on_one_line, taken)
        except (csv.Error, LineError) as error:
            yield Row(number, {}, str(error))


def _row(
    line: str, waiting: list[tuple[int, str]], lines: Iterator[tuple[int, str]], width: int
) -> tuple[list[str], int]:
    """The fields of the row that begins here, and how many further lines it takes."""
    whole = line
    for taken in range(LINES_OF_A_ROW):
        try:
            return _fields(whole), taken
        except csv.Error as error:
            if "unexpected end" not in str(error):
                raise LineError(
                    _unclosed(taken) if taken else f"expected CSV, got a faulty quote ({error})"
                ) from error
        if len(waiting) == taken:
            if (further := next(lines, None)) is None:
                raise LineError('expected a closing quote, got the end of the file for the " that opens here')
            waiting.append(further)
        following = waiting[taken][1]
        if _is_row(following, width):
            raise LineError(_unclosed(taken + 1))
        whole += "\n" + following
    raise LineError(_unclosed(LINES_OF_A_ROW))


def _checked(number: int, values: list[str], names: list[str], on_one_line: Collection[str], taken: int) -> Row:
    if len(values) != len(names):
        raise LineError(f"expected {len(names)} fields, got {len(values)}")
    row = dict(zip(names, values, strict=True))
    if taken and (broken := [name for name in names if name in on_one_line and "\n" in row[name]]):
        raise LineError(
            f"expected {broken[0]} on one line, got a quote that opens here and closes {_lines(taken)} on"
        )
    return Row(number, row)


def _unclosed(lines: int) -> str:
    return f'expected a closing quote, got none for the " that opens here ({_lines(lines)} on, other rows begin)'


def _lines(count: int) -> str:
    return "1 line" if count == 1 else f"{count} lines"


def _is_row(line: str, width: int) -> bool:
    """Whether a line is a row by itself, so that a quote before it can't have been meant to go on."""
    try:
        return len(_fields(line)) == width > 1
    except csv.Error:
        return line.count(",") >= width - 1 > 0


def _fields(line: str) -> list[str]:
    return next(csv.reader([line], strict=True), [])
