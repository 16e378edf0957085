"""What is said one word at a time: keywords, words that are none, and nothing, in SUPERB's twelve classes."""

from __future__ import annotations

from dataclasses import dataclass

from sp_search.units.corpora.speech_commands import WORDS, keyword

OTHERS = (
    "bed", "bird", "cat", "dog", "eight", "five", "four", "happy", "house", "marvin",
    "nine", "one", "seven", "sheila", "six", "three", "tree", "two", "wow", "zero",
)  # fmt: skip
"""The words of Speech Commands that are no keywords."""


@dataclass(frozen=True)
class Word:
    """A word on its own; None is silence."""

    text: str | None

    def fields(self) -> dict[str, object]:
        """Its answer by the fields of the tasks; null where it has none."""
        return {"labels": None, "text": None, "slots": None, "keyword": keyword(self.text or "")}


def classes() -> list[tuple[Word, ...]]:
    """The words of every class, always in the same order."""
    return [*((Word(word),) for word in WORDS), tuple(map(Word, OTHERS)), (Word(None),)]
