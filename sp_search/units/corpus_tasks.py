"""Which tasks a corpus in audio fits, by the answers that its utterances have; and why a column fits none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sp_search.units.manifest import SPLITS
from sp_search.units.prepare import answers, columns_of
from sp_search.units.recordings import SLOTS, Recording

INTENT_LABELS = 3
"""Action, object and location."""
FEW = 0.5
"""Labels are a class of utterances where there are fewer of them than this share of the training utterances."""
SHOWN = 3
"""Labels that a message names."""
Answers = Mapping[str, Sequence[tuple[str, ...]]]
"""By split, the words of each utterance that has an answer."""


@dataclass(frozen=True)
class FittingTask:
    """A task that a search takes on this corpus."""

    words: str  # as typed: `task=label task.field=emotion`
    about: str  # where its answers are, and how many there are

    def __str__(self) -> str:
        return f"{self.words} ({self.about})"


@dataclass(frozen=True)
class AnswerColumn:
    """A column of answers."""

    name: str
    counts: Counter[str]  # utterances by answer, over all splits
    task: FittingTask | None
    why_not: str  # where it fits no task


def fitting_tasks(recordings: Sequence[Recording]) -> list[FittingTask]:
    """The tasks for which train, valid and test have answers.

    A column of labels fits where each label is one word, there are two or more of them, and training has all.
    """
    return [column.task for column in answer_columns(recordings) if column.task]


def answer_columns(recordings: Sequence[Recording]) -> list[AnswerColumn]:
    """Every column that has an answer, in the corpus's order."""
    columns = ["labels", *columns_of(recordings)]
    of_split = {split: [answers(r, columns[1:]) for r in recordings if r.split == split] for split in SPLITS}
    found: list[AnswerColumn] = []
    for name in columns:
        values = {
            split: [_words(record[name]) for record in records if record[name]] for split, records in of_split.items()
        }
        counts = Counter(" ".join(words) for of_one in values.values() for words in of_one)
        if counts:
            task, why_not = _fit(name, values)
            found.append(AnswerColumn(name, counts, task, why_not))
    return found


def _fit(name: str, values: Answers) -> tuple[FittingTask | None, str]:
    """The task of a column, or why it has none."""
    if empty := [split for split in SPLITS if not values[split]]:
        return None, f"{' and '.join(empty)} {'has' if len(empty) == 1 else 'have'} no answers"
    lengths = {len(words) for of_split in values.values() for words in of_split}
    known = set(values["train"])
    if name == "text":
        return FittingTask("task=asr", f"text, {len(known):,} transcripts"), ""
    if name == SLOTS:
        if any(word.startswith("B-") for words in known for word in words):
            return FittingTask("task=slots", f"slots, {len(known):,} texts"), ""
        return None, "no value is marked, as in `fly to B-city rome E-city`"
    if name == "labels" and lengths == {INTENT_LABELS}:
        return FittingTask("task=intent", f"labels, {len(known):,} intents"), ""
    if lengths != {1}:
        return None, f"expected 1 label an utterance, or {INTENT_LABELS} for intents, got {_range(lengths)}"
    if why_not := _not_a_class(values, known):
        return None, why_not
    told = f"{name}, {len(known):,} labels"
    return FittingTask("task=keyword" if name == "keyword" else f"task=label task.field={name}", told), ""


def _not_a_class(values: Answers, known: set[tuple[str, ...]]) -> str:
    """Why labels are no classes of utterances; empty where they are."""
    if len(known) < 2:
        return "training has one label only"
    if len(known) > max(2, FEW * len(values["train"])):
        return f"{len(known):,} labels for {len(values['train']):,} training utterances are more names than classes"
    strange = sorted({words[0] for split in ("valid", "test") for words in values[split] if words not in known})
    more = f" and {len(strange) - SHOWN} more" if len(strange) > SHOWN else ""
    return f"valid or test has labels that training lacks: {', '.join(strange[:SHOWN])}{more}" if strange else ""


def _range(lengths: set[int]) -> str:
    return f"{min(lengths)} to {max(lengths)}" if len(lengths) > 1 else str(min(lengths))


def _words(value: str | Sequence[str]) -> tuple[str, ...]:
    return tuple(value.split()) if isinstance(value, str) else tuple(value)
