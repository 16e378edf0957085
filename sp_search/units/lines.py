"""One utterance a line: `units <s> labels`, `name|units|labels` and JSON lines, told apart by content.

The first hundreds of lines decide which form it is, and a line of another one is bad. Every line is checked before
any is used; all bad lines are counted, the first ten named. Blank lines are no utterances, but they count as lines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice

from sp_search.errors import DataError
from sp_search.files.json_line import LineError
from sp_search.units.line_forms import LABELS, Line, form_of, parser_of

SHOWN_FAULTS = 10
LOOKED_AT = 300
"""Lines that decide of what form a file is."""
NOT_LABELS = {"<s>", "<pad>", "</s>"}
"""fairseq's specials: one among the labels is a line end or a separator that came along."""


class LineReader:
    """The utterances of a manifest, line by line; what came before an error is not to be used."""

    def __init__(
        self,
        lines: Iterable[str],
        place: str,
        known: Callable[[str], bool],
        *,
        labelled: bool,
        field: str = LABELS,
    ) -> None:
        """Read these lines, once.

        Args:
            lines: with or without line ends.
            place: file name for messages.
            known: whether the dictionary has a unit; it may raise a LineError that says more.
            labelled: whether every line must have labels; else they may be missing. A JSON line whose labels are null
                is then left out.
            field: where a JSON line has its labels.
        """
        self.form = ""  # told from the first line on: a form of `line_forms`
        self._lines = enumerate(lines, 1)
        self._place, self._known, self._labelled, self._field = place, known, labelled, field
        self._known_units: dict[str, bool] = {}

    def __iter__(self) -> Iterator[Line]:
        """The utterances; DataError behind the last one where lines are bad, or there are none."""
        faults: list[str] = []
        count = found = 0
        for number, text in self._with_form():
            try:
                line = self._parse(text, number)
            except LineError as error:
                count += 1
                if count <= SHOWN_FAULTS:
                    faults.append(f"line {number}: {error}")
            else:
                if line.labels is not None or not self._labelled:
                    found += 1
                    yield line
        if count:
            raise bad_lines(self._place, faults, count)
        if not found:
            got = "none with labels" if self.form else "an empty file"
            raise DataError(f"{self._place}: expected at least one utterance, got {got}")

    def _with_form(self) -> Iterator[tuple[int, str]]:
        """The lines that are not blank, by number, once it is known of what form they are."""
        written = ((number, text) for number, raw in self._lines if (text := raw.strip()))
        first = list(islice(written, LOOKED_AT))
        if first:
            forms = [form_of(text) for _, text in first]
            self.form = max(dict.fromkeys(forms), key=forms.count)  # of two that are as many, the first
            self._parser = parser_of(self.form, self._field)
        return chain(first, written)

    def _parse(self, text: str, number: int) -> Line:
        if (form := form_of(text)) != self.form:
            raise LineError(f"expected {self.form} as in the lines around it, got {form}: {text!r:.60}")
        line = self._parser(text, number)
        if not line.units:
            raise LineError("expected at least one unit, got an empty utterance")
        for unit in line.units:
            if unit not in self._known_units:
                self._known_units[unit] = self._known(unit)
            if not self._known_units[unit]:
                raise LineError(f"expected units of the dictionary, got {unit!r}")
        if self._labelled and line.labels == ():
            where = f'labels in "{self._field}"' if text.startswith("{") else "labels behind one `<s>`"
            raise LineError(f"expected {where}, got none")
        if special := next((label for label in line.labels or () if label in NOT_LABELS), ""):
            raise LineError(f"expected labels, got {special!r} among them; a line is one utterance without it")
        return line


def bad_lines(place: str, faults: list[str], count: int) -> DataError:
    """The error of a file with bad lines: `PLACE line 12: ...` for one, else all counted and some named.

    Args:
        place: file name.
        faults: of the first of them, each beginning with `line N: `.
        count: of all.
    """
    if count == 1:
        return DataError(f"{place} {faults[0]}")
    more = f" (and {count - SHOWN_FAULTS} more)" if count > SHOWN_FAULTS else ""
    return DataError(f"{place}: {count} bad lines: " + "; ".join(faults[:SHOWN_FAULTS]) + more)


@dataclass(frozen=True)
class CorpusForm:
    """What a file of utterances was taken for, to be said to the user."""

    file: str  # its name
    form: str  # a form of `line_forms`, or a fairseq data-bin
    utterances: int

    def __str__(self) -> str:
        """`train.jsonl.gz: JSON lines, 23,132 utterances`."""
        return f"{self.file}: {self.form}, {self.utterances:,} utterance{'' if self.utterances == 1 else 's'}"
