"""Exported prompts of a task whose answers are written, not chosen."""

import json

import pytest
import torch

from sp_search.engine.answer.label_map import LabelMap
from sp_search.errors import DataError
from sp_search.export.folder import task_of
from sp_search.export.predictor import load_predictor
from sp_search.metrics.measures import measure
from sp_search.prompts.file import load_prompt
from tests.export.winner import DEEP
from tests.tiny import CPU, TEXTS, split_of, tiny_texts

LINEAR = {**DEEP, "verbalizer": "linear"}


@pytest.fixture(scope="module", params=["free", "legal", "best"])
def each(request, make_winner):
    return make_winner(LINEAR, tiny_texts(decoding=request.param))


@pytest.fixture(scope="module")
def free(make_winner):
    return make_winner(LINEAR, tiny_texts(decoding="free"))


def answers(winner, split):
    made = load_predictor(winner.folder, winner.lm, winner.data.dictionary, device=CPU, dtype="float32")[0]
    return list(made.predict(split))


def test_an_export_is_as_good_as_the_trial_was(each):
    test = each.data.corpus.splits["test"]
    predicted = [prediction.labels for prediction in answers(each, test)]
    wanted = {name: value for name, value in each.trainer.evaluate([0], "test")[0].items() if name != "loss"}
    found = measure(each.data.task.metrics, predicted, test.answers)
    assert {name: tally.value for name, tally in found.items()} == pytest.approx(wanted)


def test_a_document_says_how_answers_come_about(each):
    task = task_of(load_prompt(each.folder)[1])
    assert (task.name, task.answer_format, task.decoding) == ("asr", "characters", each.data.task.decoding)
    assert task.max_answer == max(len(" ".join(text)) for text in TEXTS)


def test_only_what_may_be_answered_is_carried_along(each):
    space = load_prompt(each.folder)[1]["label_space"]
    assert len(space["answers"]) == (0 if each.data.task.decoding == "free" else len(TEXTS))
    assert len(space["symbols"]) == 6


def test_legal_answers_are_those_of_training(each):
    predicted = {prediction.labels for prediction in answers(each, each.data.corpus.splits["test"])}
    assert each.data.task.decoding == "free" or predicted <= set(TEXTS)


def test_a_written_answer_comes_with_its_probability(free):
    for prediction in answers(free, free.data.corpus.splits["test"]):
        ((text, share),) = prediction.scores.items()
        assert text == " ".join(prediction.labels)
        assert 0 < share <= 1
        assert json.loads(json.dumps(prediction.to_json()))["labels"] == list(prediction.labels)


def test_an_utterance_must_leave_positions_for_the_longest_answer(free):
    """48 positions less `</s>`, `<s>` and nine characters."""
    with pytest.raises(DataError, match=r"^stdin utterance 2: expected at most 37 units .*, got 38 \(too long: 1"):
        answers(free, split_of([[5] * 37, [5] * 38], [(), ()], "stdin"))


def test_more_symbols_than_units_are_told_apart_by_the_head():
    """Two symbols that share a unit are fed alike and expected apart."""
    verbalized = LabelMap.of((5, 6, 6), linear=True, device=CPU)
    assert verbalized.fed(torch.tensor([1, 2])).tolist() == [6, 6]
    assert len(set(verbalized.targets(torch.tensor([[0, 1, 2]]))[0].tolist())) == 5
