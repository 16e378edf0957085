import json

import numpy as np
import pytest

from sp_search.errors import DataError
from sp_search.tasks.label_space import LabelSpace
from sp_search.tasks.registry import Task, get_task
from tests.tiny import split_of

PAIR = Task("pair", slots=("verb", "noun"))
TRAIN = [("on", "lamp"), ("off", "lamp"), ("on", "heat"), ("on", "lamp")]


def labelled(answers, name="train"):
    return split_of([[5]] * len(answers), answers, name)


@pytest.fixture
def space():
    return LabelSpace.from_split(labelled(TRAIN), PAIR)


def test_symbols_and_answers_stand_in_order_of_appearance_with_their_counts(space):
    assert space == LabelSpace(
        symbols=("on", "lamp", "off", "heat"),
        symbol_counts=(3, 3, 1, 1),
        answers=((0, 1), (2, 1), (0, 3)),
        answer_counts=(2, 1, 1),
    )


def test_an_answer_is_encoded_label_by_label(space):
    encoded = space.encode(labelled([("off", "heat"), ("on", "lamp")], "valid"), PAIR)
    np.testing.assert_array_equal(encoded, [[2, 3], [0, 1]])


def test_words_undo_encode(space):
    split = labelled(TRAIN)
    assert tuple(space.words(tuple(row), PAIR) for row in space.encode(split, PAIR).tolist()) == split.answers


def test_a_label_in_two_slots_is_one_symbol():
    assert LabelSpace.from_split(labelled([("none", "none")]), PAIR).symbols == ("none",)


@pytest.mark.parametrize("split", ["valid", "test"])
def test_a_label_that_training_never_had_is_refused_with_utterance_and_known_labels(space, split):
    with pytest.raises(
        DataError,
        match=rf"^{split} utterance 2: expected labels of the training split, got 'dim'; known are on, lamp, "
        "off, heat$",
    ):
        space.encode(labelled([("on", "lamp"), ("dim", "lamp")], split), PAIR)


def test_only_the_first_twelve_of_many_known_labels_are_listed():
    many = LabelSpace.from_split(labelled([(f"v{i}", f"n{i}") for i in range(10)]), PAIR)
    with pytest.raises(DataError, match=r"known are v0, n0, .*v5, n5, \.\.\.$"):
        many.encode(labelled([("new", "n0")], "valid"), PAIR)


@pytest.mark.parametrize("answer", [("on",), ("on", "lamp", "hall"), ()], ids=len)
def test_an_answer_of_another_length_than_the_tasks_is_refused(space, answer):
    message = rf"expected 2 labels \(verb, noun\) for task pair, got {len(answer)}: '{' '.join(answer)}'$"
    with pytest.raises(DataError, match="^train utterance 1: " + message):
        LabelSpace.from_split(labelled([answer]), PAIR)
    with pytest.raises(DataError, match="^test utterance 1: " + message):
        space.encode(labelled([answer], "test"), PAIR)


def test_a_label_space_comes_back_from_json(space):
    assert LabelSpace.from_json(json.loads(json.dumps(space.to_json()))) == space


ASR = get_task("asr", answer_format="characters")


def test_answers_of_different_lengths_are_padded_behind():
    train = labelled([("on",), ("no", "on")])
    space = LabelSpace.from_split(train, ASR)
    assert (space.symbols, space.symbol_counts, space.longest) == (("o", "n", "|"), (3, 3, 1), 5)
    np.testing.assert_array_equal(space.encode(train, ASR), [[0, 1, -1, -1, -1], [1, 0, 2, 0, 1]])
    assert space.words((1, 0, 2, 0, 1), ASR) == ("no", "on")


def test_a_character_that_training_never_had_is_refused_by_name():
    space = LabelSpace.from_split(labelled([("on",), ("no",)]), ASR)
    with pytest.raises(
        DataError,
        match=r"^valid utterance 2: expected characters of the training split, got 'ö'; known are o, n$",
    ):
        space.encode(labelled([("on",), ("nö",)], "valid"), ASR)


def test_a_word_that_cannot_be_spelled_is_refused_with_its_utterance():
    with pytest.raises(DataError, match=r"^train utterance 2: task asr: expected words without blanks"):
        LabelSpace.from_split(labelled([("on",), ("a|b",)]), ASR)


def test_without_answers_the_symbols_stay(space):
    bare = LabelSpace.from_json(space.without_answers().to_json())
    assert (bare.symbols, bare.symbol_counts, bare.answers) == (space.symbols, space.symbol_counts, ())


@pytest.mark.parametrize("answer_format", ["words", "characters"])
def test_a_corpus_without_slots_is_refused_for_slot_filling(answer_format):
    task = get_task("slots", answer_format=answer_format)
    with pytest.raises(
        DataError,
        match=r"^train: expected slots as `B-TYPE value E-TYPE` in answers of task slots, got none in 2 utterances, "
        r"the first being 'light up'$",
    ):
        LabelSpace.from_split(labelled([("light", "up"), ("on",)]), task)
    assert "B-a" in LabelSpace.from_split(labelled([("light", "up"), ("B-a", "x", "E-a")]), task).symbols
