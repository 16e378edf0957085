from pathlib import Path

import pytest

from sp_search.units.corpus_tasks import answer_columns, fitting_tasks
from sp_search.units.recordings import Recording


def corpus(rows, **columns):
    """Utterances of all splits in turn; a column gives each the value at its place."""
    return [
        Recording(
            id=str(i), split=("train", "train", "valid", "test")[i % 4], path=Path("a.wav"),
            labels=tuple(columns.get("labels", [""] * rows)[i].split()),
            text=columns.get("text", [""] * rows)[i],
            fields={name: values[i] for name, values in columns.items() if name not in ("labels", "text")},
        )
        for i in range(rows)
    ]  # fmt: skip


EIGHT = {
    "intent": ["on lamp hall", "off lamp hall"] * 4,
    "one": ["on", "off"] * 4,
    "many": [f"w{i}" for i in range(8)],
    "text": ["light up", "go"] * 4,
    "slots": ["B-city rome E-city", "hi"] * 4,
    "absent": [None] * 8,
}


@pytest.mark.parametrize(
    ("columns", "fits"),
    [
        ({"labels": "intent"}, ["task=intent (labels, 2 intents)"]),
        ({"labels": "one"}, ["task=label task.field=labels (labels, 2 labels)"]),
        ({"labels": "one", "emotion": "one"}, [
            "task=label task.field=labels (labels, 2 labels)", "task=label task.field=emotion (emotion, 2 labels)",
        ]),
        ({"keyword": "one"}, ["task=keyword (keyword, 2 labels)"]),
        ({"text": "text", "slots": "slots"}, ["task=asr (text, 2 transcripts)", "task=slots (slots, 2 texts)"]),
        ({"speaker": "many", "emotion": "absent"}, []),
        ({"slots": "text"}, []),
    ],
)  # fmt: skip
def test_a_corpus_fits_the_tasks_whose_answers_it_has(columns, fits):
    found = fitting_tasks(corpus(8, **{name: EIGHT[kind] for name, kind in columns.items()}))
    assert list(map(str, found)) == fits


def test_a_label_that_training_lacks_or_a_split_without_answers_does_not_fit():
    assert fitting_tasks(corpus(8, emotion=["a", "b", "c", "a"] * 2)) == []
    assert fitting_tasks(corpus(8, emotion=["a", "b", None, "a"] * 2)) == []


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        ({"emotion": ["a", "b", "c", "a"] * 2}, "valid or test has labels that training lacks: c"),
        ({"emotion": ["a", "b", None, "a"] * 2}, "valid has no answers"),
        ({"emotion": ["a", "b", None, None] * 2}, "valid and test have no answers"),
        ({"emotion": ["a"] * 8}, "training has one label only"),
        ({"speaker": EIGHT["many"]}, "4 labels for 4 training utterances are more names than classes"),
        ({"slots": EIGHT["text"]}, "no value is marked, as in `fly to B-city rome E-city`"),
        ({"labels": ["a b", "c"] * 4}, "expected 1 label an utterance, or 3 for intents, got 1 to 2"),
    ],
)
def test_a_column_that_fits_no_task_says_why(columns, why):
    (column,) = answer_columns(corpus(8, **columns))
    assert (column.task, column.why_not) == (None, why)


def test_a_column_counts_its_answers_over_all_splits():
    first, second = answer_columns(corpus(8, labels=EIGHT["one"], emotion=[None, "a"] * 4))
    assert (first.name, first.counts) == ("labels", {"on": 4, "off": 4})
    assert (second.name, second.counts, second.why_not) == ("emotion", {"a": 4}, "valid has no answers")
