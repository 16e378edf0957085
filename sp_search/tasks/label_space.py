"""What may be answered: the labels and the whole answers that the training split has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from sp_search.errors import ConfigError, DataError
from sp_search.tasks.registry import Task
from sp_search.types import Split

NOTHING = -1
"""Stands behind the last symbol of an answer that is shorter than others."""


@dataclass(frozen=True)
class LabelSpace:
    """Label symbols in order of first appearance, and the distinct answers made of them."""

    symbols: tuple[str, ...]  # C
    symbol_counts: tuple[int, ...]  # how often each occurs in training
    answers: tuple[tuple[int, ...], ...]  # distinct answers as symbol numbers
    answer_counts: tuple[int, ...]

    @classmethod
    def from_split(cls, train: Split, task: Task) -> LabelSpace:
        """Read the label space off the training split.

        Raises:
            DataError: an answer hasn't as many labels as the task has slots, or can't be spelled.
        """
        spelled = _spelled(train, task)
        labels = Counter(label for answer in spelled for label in answer)  # keeps first-seen order
        numbers = {label: i for i, label in enumerate(labels)}
        answers = Counter(tuple(numbers[label] for label in answer) for answer in spelled)
        return cls(tuple(labels), tuple(labels.values()), tuple(answers), tuple(answers.values()))

    @cached_property
    def numbers(self) -> Mapping[str, int]:
        """The number of each symbol."""
        return {symbol: i for i, symbol in enumerate(self.symbols)}

    def encode(self, split: Split, task: Task) -> npt.NDArray[np.int32]:
        """The answers of a split as symbol numbers, (N, M), NOTHING behind those that are shorter than the longest.

        Raises:
            DataError: an answer of another length than the task's, or a label or character that training never had.
        """
        spelled = _spelled(split, task)
        rows = np.full((len(spelled), max(map(len, spelled))), NOTHING, dtype=np.int32)
        kind = "labels" if task.answer_format == "words" else "characters"
        for row, (utterance, answer) in enumerate(zip(split.ids, spelled, strict=True)):
            for at, label in enumerate(answer):
                if label not in self.numbers:
                    raise DataError(
                        f"{split.name} utterance {utterance}: expected {kind} of the training split, got {label!r}; "
                        f"known are {', '.join(self.symbols[:12])}{', ...' if len(self.symbols) > 12 else ''}"
                    )
                rows[row, at] = self.numbers[label]
        return rows

    @cached_property
    def longest(self) -> int:
        """Symbols of the longest answer."""
        return max(map(len, self.answers))

    def longest_answer(self, task: Task) -> int:
        """Symbols that an answer comes to at most: of training's longest, or what the task lets the LM write."""
        return self.longest if task.decoding == "best" or not task.max_answer else task.max_answer

    def words(self, answer: tuple[int, ...], task: Task) -> tuple[str, ...]:
        """An answer as the words that it spells."""
        return task.words([self.symbols[i] for i in answer])

    def without_answers(self) -> LabelSpace:
        """The symbols alone, where any sequence of them may be an answer."""
        return LabelSpace(self.symbols, self.symbol_counts, (), ())

    def to_json(self) -> dict[str, Any]:
        """As `from_json` takes it."""
        return {
            "symbols": list(self.symbols),
            "symbol_counts": list(self.symbol_counts),
            "answers": [list(answer) for answer in self.answers],
            "answer_counts": list(self.answer_counts),
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> LabelSpace:
        """From what `to_json` gave."""
        return cls(
            tuple(record["symbols"]),
            tuple(record["symbol_counts"]),
            tuple(tuple(answer) for answer in record["answers"]),
            tuple(record["answer_counts"]),
        )


def _spelled(split: Split, task: Task) -> list[tuple[str, ...]]:
    """The symbols of every answer of a split."""
    found = []
    for utterance, answer in zip(split.ids, split.answers, strict=True):
        _check_slots(split.name, utterance, answer, task)
        try:
            found.append(task.spell(answer))
        except ConfigError as error:
            raise DataError(f"{split.name} utterance {utterance}: {error}") from error
    if task.has_marks and not any(task.is_mark(symbol) for answer in found for symbol in answer):
        raise DataError(
            f"{split.name}: expected slots as `B-TYPE value E-TYPE` in answers of task {task.name}, got none in "
            f"{len(split)} utterances, the first being {' '.join(split.answers[0])!r}"
        )
    return found


def _check_slots(split: str, utterance: str, answer: tuple[str, ...], task: Task) -> None:
    if task.slots and len(answer) != len(task.slots):
        raise DataError(
            f"{split} utterance {utterance}: expected {len(task.slots)} labels ({', '.join(task.slots)}) "
            f"for task {task.name}, got {len(answer)}: {' '.join(answer)!r}"
        )
