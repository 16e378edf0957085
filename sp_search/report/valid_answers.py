"""What the exported answer of a search says to each utterance of valid, kept for the report: JSON lines.

    {"id": "u17", "wanted": ["on", "lights", "hall"], "given": ["on", "music", "hall"], "score": 0.61, "right": 0.32}

`score` is the probability of the given answer, `right` that of the wanted one; null where it is not known.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from sp_search.errors import DataError
from sp_search.files.write import write_text
from sp_search.types import Answered, Split

FILE = "valid_answers.jsonl"
"""In the folder of a study."""


@dataclass(frozen=True)
class ValidAnswer:
    """The answer to one utterance of valid."""

    id: str
    wanted: tuple[str, ...]
    given: tuple[str, ...]
    score: float | None  # probability of the given answer
    right: float | None  # probability of the wanted answer

    @property
    def is_right(self) -> bool:
        """Whether the given answer is the wanted one."""
        return self.wanted == self.given


def write_answers(folder: Path, split: Split, answers: Sequence[Answered]) -> None:
    """Write the answers to a split, in its order, into the folder of a study."""
    found = [
        ValidAnswer(split.ids[i], split.answers[i], one.words, one.score, one.right) for i, one in enumerate(answers)
    ]
    write_text(folder / FILE, "".join(json.dumps(asdict(one), ensure_ascii=False) + "\n" for one in found))


def read_answers(folder: Path) -> list[ValidAnswer]:
    """The answers in the folder of a study; none where its search has left none.

    Raises:
        DataError: the file is damaged.
    """
    path = folder / FILE
    raw = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    lines = raw.split("\n")  # what else Unicode calls a line end may stand in a label
    return [_read(path, number, line) for number, line in enumerate(lines, 1) if line]


def _read(path: Path, number: int, line: str) -> ValidAnswer:
    try:
        found = json.loads(line)
        words = tuple(found["wanted"]), tuple(found["given"])
        return ValidAnswer(found["id"], *words, found["score"], found["right"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(
            f"{path} line {number}: expected an answer to an utterance of valid, got {line:.60}; remove the file to "
            f"draw the report without these answers"
        ) from error
