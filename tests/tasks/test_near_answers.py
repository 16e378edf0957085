"""Answers that training has but for capitals or Unicode's form."""

import pytest

from sp_search.tasks.near_answers import nearly_known
from tests.tiny import split_of

TRAINING = (("on", "caf\u00e9"), ("off", "lamp"))


def said(*answers):
    return nearly_known(split_of([[4]] * len(answers), answers), TRAINING)


@pytest.mark.parametrize("answer", [("ON", "caf\u00e9"), ("on", "cafe\u0301"), ("\uff4fn", "CAF\u00c9")])
def test_a_nearly_known_answer_is_said_with_the_count(answer):
    assert "2 answers differ from training's by capitals or Unicode form alone, such as" in said(
        ("off", "lamp"), answer, answer
    )


def test_known_answers_and_new_ones_are_not_said():
    assert said(("off", "lamp"), ("off", "hall")) == ""
