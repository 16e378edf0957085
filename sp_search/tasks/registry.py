"""The tasks by name: where a corpus has their answers, what an answer is spelled with, and which metric decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from sp_search.errors import ConfigError
from sp_search.units.line_forms import LABELS

AnswerFormat = Literal["words", "characters"]
Decoding = Literal["best", "free", "legal"]
BLANK = "|"
"""The symbol between two words that are spelled."""


@dataclass(frozen=True)
class Task:
    """What an answer is. In a corpus it is words; the LM answers in symbols: those words, or their characters."""

    name: str
    slots: tuple[str, ...] = ()  # what each word says, where answers have a fixed number of them
    field: str = LABELS  # of a JSON line: where its answer is
    metrics: tuple[str, ...] = ("accuracy",)  # the first decides, and is the better the larger; 1 is perfect
    has_marks: bool = False  # `B-TYPE` and `E-TYPE` stand around a slot's value; each is one symbol in any format
    answer_format: AnswerFormat = "words"
    decoding: Decoding = "best"  # the best of all answers of training; symbol by symbol, `legal`: along those answers
    max_answer: int = 0  # symbols that free and legal come to at most; 0 = those of training's longest answer

    @property
    def decides(self) -> str:
        """The metric by which a search chooses."""
        return self.metrics[0]

    @property
    def chooses(self) -> bool:
        """Whether the best of all answers of training is taken; others are written symbol by symbol."""
        return self.decoding == "best"

    def spell(self, words: Sequence[str]) -> tuple[str, ...]:
        """The symbols of an answer: `B-city n e w | y o r k E-city`.

        Raises:
            ConfigError: a word to be spelled has a blank in it, or the sign that stands for one.
        """
        if self.answer_format == "words":
            return tuple(words)
        symbols: list[str] = []
        after_word = False
        for word in words:
            if is_mark := self.is_mark(word):
                symbols.append(word)
            else:
                if BLANK in word or len(word.split()) != 1:
                    raise ConfigError(
                        f"task {self.name}: expected words without blanks and {BLANK!r} to spell, got {word!r}; take "
                        f"task.answer_format=words, or give its words one by one"
                    )
                symbols += [*((BLANK,) if after_word else ()), *word]
            after_word = not is_mark
        return tuple(symbols)

    def words(self, symbols: Sequence[str]) -> tuple[str, ...]:
        """The words that symbols spell; any sequence spells some."""
        if self.answer_format == "words":
            return tuple(symbols)
        apart = [f" {symbol} " if self.is_mark(symbol) else symbol for symbol in symbols]
        return tuple("".join(apart).replace(BLANK, " ").split())

    def is_mark(self, word: str) -> bool:
        """Whether a word marks the beginning or the end of a slot."""
        return self.has_marks and len(word) > 2 and word[:2] in ("B-", "E-")


TASKS = {
    task.name: task
    for task in (  # method.md, "Tasks of the paper and their metrics"
        Task("label", slots=("label",), field="label"),
        Task("keyword", slots=("keyword",), field="keyword"),
        Task("intent", slots=("action", "object", "location")),
        Task("asr", field="text", metrics=("char_accuracy", "cer", "wer")),
        Task("slots", field="slots", metrics=("slot_type_f1", "slot_value_cer", "slot_edit_f1"), has_marks=True),
    )
}


def get_task(
    name: str,
    *,
    answer_format: AnswerFormat = "words",
    decoding: Decoding = "best",
    max_answer: int = 0,
    field: str | None = None,
) -> Task:
    """A task by name, its answers spelled and decoded as told.

    Args:
        name: of the task; `label` is any with one label an utterance, of which keyword is one.
        answer_format: what an answer is spelled in.
        decoding: how it comes about.
        max_answer: symbols that are written at most; 0 = as many as training's longest answer has.
        field: of a JSON line, where its answer is; None = where the task has it.

    Raises:
        ConfigError: there is none of that name, or a setting is out of range.
    """
    if name not in TASKS:
        raise ConfigError(f"task: expected one of {', '.join(sorted(TASKS))}, got {name!r}")
    found = TASKS[name]
    where = found.field if field is None else field
    slots = (where,) if name == "label" else found.slots
    return replace(
        found, answer_format=answer_format, decoding=decoding, max_answer=max_answer, field=where, slots=slots
    )
