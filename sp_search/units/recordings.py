"""A labelled corpus in audio: which stretch of which file is in which split, and what is said in it.

Any corpus comes as a plain manifest, CSV with a header or JSON lines, told apart by content. A relative path is seen
from the manifest's folder. `path`, `split` and one answer are needed.

| key | is |
| --- | --- |
| `path`, `split` | the audio file, and train, valid or test: needed |
| `labels` | labels in order, parted by blanks, or as a JSON list |
| `text` | what is said; without labels, its characters are the labels, with `|` for a blank |
| `keyword`, `slots` | a word of a few; the text with marked values, `B-city new york E-city` |
| any other | one label: `emotion`, `speaker`, `language`, ... for `task=label task.field=emotion` |
| `id`, `start_s`, `duration_s` | a name, else the line's number; the stretch of the file, else all of it |
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from sp_search.errors import DataError
from sp_search.files import table
from sp_search.files.json_line import LineError, json_value
from sp_search.files.paths import check_file, user_path
from sp_search.files.text import text_lines
from sp_search.units.lines import NOT_LABELS, bad_lines
from sp_search.units.manifest import SPLITS

BLANK = "|"
"""Stands for a blank among the labels that are a text's characters."""
KEYS = ("path", "split", "labels", "text", "id", "start_s", "duration_s")
LONGEST_S = 1e9
"""Thirty years; no recording begins or ends behind that."""
SLOTS, UNITS = "slots", "units"
"""A column that holds several words, and one that the corpus in units has for itself."""


@dataclass(frozen=True, kw_only=True)
class Recording:
    """One utterance before it is units."""

    id: str
    split: str  # train, valid or test
    path: Path
    labels: tuple[str, ...]  # without blanks in them, so that every line form can hold them; () if it has none
    text: str = ""
    fields: Mapping[str, str | None] = field(default_factory=dict)  # other answers by column; None where it has none
    start_s: float = 0.0
    duration_s: float | None = None  # None: to the end of the file
    line: int = field(default=0, compare=False)  # of its row in a manifest; 0 where it is of another form


class BadRowsError(DataError):
    """Rows of a corpus are bad. The good ones are at hand, for a command that only looks."""

    def __init__(self, place: str, faults: Sequence[str], recordings: Sequence[Recording]) -> None:
        """Take what was found.

        Args:
            place: file name.
            faults: of all bad rows, each beginning with `line N: `.
            recordings: of the good rows.
        """
        super().__init__(str(bad_lines(place, [*faults], len(faults))))
        self.faults, self.recordings = tuple(faults), tuple(recordings)


def read_manifest(path: Path, characters: str) -> list[Recording]:
    """Read a plain manifest.

    Args:
        path: the file, compressed or not.
        characters: what `text` may hold beside blanks, where it makes the labels; it is put in capitals first.

    Raises:
        DataError: it can't be read, or lines are bad; all are counted, the first ten named.
    """
    check_file(path, "a manifest")
    lines = enumerate(text_lines(path), 1)
    number, first = next(((number, line) for number, line in lines if line.strip()), (1, ""))
    if first.lstrip().startswith("{"):
        rows = json_rows(chain([(number, first)], lines))
    else:
        rows = _csv_rows(first, lines, path)
    return gather(rows, str(path), lambda row, number: _recording(row, number, path.parent, characters))


def gather(rows: Iterable[tuple[int, Any]], place: str, parse: Callable[[Any, int], Recording]) -> list[Recording]:
    """Parse numbered rows; bad ones are counted, the first ten named.

    Raises:
        BadRowsError: rows are bad, or two have one id within a split.
        DataError: there are no rows.
    """
    found: list[Recording] = []
    faults: list[str] = []
    seen: dict[tuple[str, str], int] = {}
    for number, row in rows:
        try:
            if isinstance(row, LineError):
                raise row
            recording = parse(row, number)
            before = seen.setdefault((recording.split, recording.id), number)
            if before != number:
                raise LineError(f"expected an id of its own, got {recording.id!r} as in line {before}")
            found.append(recording)
        except LineError as error:
            faults.append(f"line {number}: {error}")
    if faults:
        raise BadRowsError(place, faults, found)
    if not found:
        raise DataError(f"{place}: expected at least one utterance, got none")
    return found


def spell(text: str, characters: str) -> tuple[str, ...]:
    """The labels of a text: its characters in capitals, runs of blanks as one `|`.

    Raises:
        LineError: it is empty, or has a character outside.
    """
    spelled = BLANK.join(unicodedata.normalize("NFC", text).upper().split())
    for character in spelled:
        if character != BLANK and character not in characters:
            raise LineError(f"expected text of {characters!r} and blanks, got {character!r} in {text!r:.80}")
    if not spelled or BLANK in characters or text.count(BLANK):
        raise LineError(f"expected text of {characters!r} and blanks, got {text!r:.80}")
    return tuple(spelled)


def label(value: str) -> str:
    """A label in NFC without blanks in it: `change language` is `change_language`."""
    return "_".join(unicodedata.normalize("NFC", value).split())


def json_rows(lines: Iterable[tuple[int, str]]) -> Iterator[tuple[int, Any]]:
    """The value of each numbered line, or the LineError that says why it has none; blank lines are passed over."""
    for number, line in lines:
        if line.strip():
            try:
                yield number, json_value(line)
            except LineError as error:
                yield number, error


def csv_rows(
    names: list[str], lines: Iterator[tuple[int, str]], on_one_line: Collection[str]
) -> Iterator[tuple[int, Any]]:
    """The values by column of each row behind a header, or the LineError that says why it has none; see `table`."""
    for row in table.rows(lines, names, on_one_line):
        yield row.number, LineError(row.fault) if row.fault else row.values


def _csv_rows(header: str, lines: Iterator[tuple[int, str]], path: Path) -> Iterator[tuple[int, Any]]:
    names = table.column_names(header)
    if not {"path", "split"} <= set(names) or not set(names) - {"path", "split", "id", "start_s", "duration_s"}:
        raise DataError(
            f"{path}: expected JSON lines, or CSV whose first line names path, split and an answer (labels, text, "
            f"keyword, slots, or a column with one label), got {header.strip()!r:.80}"
        )
    if twice := [name for name in KEYS if names.count(name) > 1]:
        raise DataError(f"{path}: expected one column {twice[0]}, got {names.count(twice[0])}")
    return csv_rows(names, lines, KEYS)


def _recording(row: Any, number: int, folder: Path, characters: str) -> Recording:
    if not isinstance(row, Mapping):
        raise LineError("expected a JSON object, got another value")
    values = {key: row[key] for key in KEYS if row.get(key) not in (None, "", [])}
    for key in ("path", "split"):
        if not isinstance(values.get(key), str):
            raise LineError(f'expected "{key}", got {row.get(key)!r:.60}')
    if values["split"] not in SPLITS:
        raise LineError(f"expected split {', '.join(SPLITS)}, got {values['split']!r}")
    fields, text = _fields(row), values.get("text", "")
    if not isinstance(text, str):
        raise LineError(f'expected "text" as a string, got {text!r:.60}')
    return Recording(
        id=str(values.get("id", number)),
        split=values["split"],
        path=folder / user_path(values["path"], "path", LineError),
        labels=labels_of(values["labels"]) if "labels" in values else _of_text(text, characters, fields),
        text=text,
        fields=fields,
        start_s=seconds("start_s", values["start_s"]) if "start_s" in values else 0.0,
        duration_s=seconds("duration_s", values["duration_s"], above_0=True) if "duration_s" in values else None,
        line=number,
    )


def _of_text(text: str, characters: str, fields: Mapping[str, str | None]) -> tuple[str, ...]:
    """The labels that a text is spelled in; none where it can't be, and there is another answer.

    Raises:
        LineError: it can't be spelled, and is the only answer.
    """
    try:
        return spell(text, characters)
    except LineError:
        if any(fields.values()):
            return ()
        raise


def _fields(row: Mapping[str, Any]) -> dict[str, str | None]:
    """The answers in other columns: words in `slots`, else one label each, blanks in it as `_`.

    Raises:
        LineError: a column has the name that units have in a corpus.
    """
    found: dict[str, str | None] = {}
    for name, value in row.items():
        if name == UNITS:
            raise LineError(f'expected no column "{UNITS}" in a table of audio, got {value!r:.60}; rename it')
        if name not in KEYS and (value is None or (isinstance(value, str | int) and type(value) is not bool)):
            words = str("" if value is None else value)
            found[name] = (" ".join(words.split()) if name == SLOTS else label(words)) or None
    return found


def labels_of(value: object) -> tuple[str, ...]:
    """Labels as a manifest writes them: a list, or a string of words.

    Raises:
        LineError: it is neither, or the separator is among them.
    """
    found = value.split() if isinstance(value, str) else value
    if isinstance(found, list) and all(isinstance(item, str | int) and type(item) is not bool for item in found):
        labels = tuple(label(str(item)) for item in found)
        if labels and all(labels) and not NOT_LABELS & set(labels):
            return labels
    raise LineError(f'expected "labels" as a list or a string of words, none of them `<s>`, got {value!r:.60}')


def seconds(key: str, value: Any, *, above_0: bool = False) -> float:
    """A place in a recording or a length of it, as a manifest writes it.

    Raises:
        LineError: it is no number from 0 on, or more than any recording has.
    """
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not 0 <= found <= LONGEST_S or (above_0 and not found):
        raise LineError(f'expected "{key}" in seconds, got {value!r:.60}')
    return found
