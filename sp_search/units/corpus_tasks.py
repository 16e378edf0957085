"""Which tasks a corpus in audio fits, by the answers that its utterances have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sp_search.units.manifest import SPLITS
from sp_search.units.prepare import answers, columns_of
from sp_search.units.recordings import SLOTS, Recording

INTENT_LABELS = 3
"""Action, object and location."""
FEW = 0.5
"""Labels are a class of utterances where there are fewer of them than this share of the training utterances."""


@dataclass(frozen=True)
class FittingTask:
    """A task that a search takes on this corpus."""

    words: str  # as typed: `task=label task.field=emotion`
    about: str  # where its answers are, and how many there are

    def __str__(self) -> str:
        return f"{self.words} ({self.about})"


def fitting_tasks(recordings: Sequence[Recording]) -> list[FittingTask]:
    """The tasks for which train, valid and test have answers.

    A column of labels fits where each label is one word, there are two or more of them, and training has all.
    """
    columns = ["labels", *columns_of(recordings)]
    of_split = {split: [answers(r, columns[1:]) for r in recordings if r.split == split] for split in SPLITS}
    found: list[FittingTask] = []
    for name in columns:
        values = {
            split: [_words(record[name]) for record in records if record[name]] for split, records in of_split.items()
        }
        if all(values.values()):
            found += _of_column(name, values)
    return found


def _of_column(name: str, values: dict[str, list[tuple[str, ...]]]) -> Iterator[FittingTask]:
    lengths = {len(words) for of_split in values.values() for words in of_split}
    known = set(values["train"])
    if name == "text":
        yield FittingTask("task=asr", f"text, {len(known):,} transcripts")
    elif name == SLOTS:
        if any(word.startswith("B-") for words in known for word in words):
            yield FittingTask("task=slots", f"slots, {len(known):,} texts")
    elif name == "labels" and lengths == {INTENT_LABELS}:
        yield FittingTask("task=intent", f"labels, {len(known):,} intents")
    elif lengths == {1} and _is_class(values, known):
        told = f"{name}, {len(known):,} labels"
        yield FittingTask("task=keyword" if name == "keyword" else f"task=label task.field={name}", told)


def _is_class(values: dict[str, list[tuple[str, ...]]], known: set[tuple[str, ...]]) -> bool:
    others = {*values["valid"], *values["test"]}
    return 2 <= len(known) <= max(2, FEW * len(values["train"])) and others <= known


def _words(value: str | Sequence[str]) -> tuple[str, ...]:
    return tuple(value.split()) if isinstance(value, str) else tuple(value)
