"""The metrics by name, over answers in words; each metric's own definition is tested beside it."""

import pytest

from sp_search.metrics.measures import measure, measure_slots, with_intervals
from sp_search.tasks.registry import TASKS

TEXTS = [("light", "up"), ("light",)], [("light", "up"), ("lift", "it")]
"""Of 15 characters 4 are wrong (ft for gh, two of ` i` missing), and 2 of 4 words."""


def test_speech_is_measured_by_characters_and_words():
    found = measure(TASKS["asr"].metrics, *TEXTS)
    assert {name: tally.value for name, tally in found.items()} == {
        "char_accuracy": pytest.approx(1 - 4 / 15), "cer": pytest.approx(4 / 15), "wer": 2 / 4,
    }  # fmt: skip


def test_char_accuracy_falls_below_0_where_more_is_wrong_than_was_wanted():
    found = measure(["char_accuracy"], [("abcdef",)], [("xy",)])
    assert found["char_accuracy"].value == 1 - 6 / 2


def test_slots_are_read_off_the_words():
    predicted = [("B-city", "ulm", "E-city", "B-day", "may", "E-day"), ()]
    wanted = [("to", "B-city", "ulm", "E-city"), ("B-day", "may", "E-day")]
    found = measure(TASKS["slots"].metrics, predicted, wanted)
    assert {name: tally.value for name, tally in found.items()} == {
        "slot_type_f1": pytest.approx((2 / 3 + 0) / 2), "slot_value_cer": 3 / 6, "slot_edit_f1": 2 / 4,
    }  # fmt: skip


def test_each_label_of_an_intent_has_its_accuracy():
    predicted, wanted = [("on", "lamp"), ("on",)], [("off", "lamp"), ("on", "heat")]
    found = measure_slots(("action", "object"), predicted, wanted)
    assert {name: tally.value for name, tally in found.items()} == {
        "action_accuracy": 1 / 2,
        "object_accuracy": 1 / 2,
    }


def test_intervals_stand_beside_the_values():
    tallies = measure(["accuracy"], [("a",), ("b",)] * 20, [("a",), ("a",)] * 20)
    told = with_intervals(tallies)
    assert told["metrics"] == {"accuracy": 0.5}
    assert told["intervals"] == {"accuracy": tallies["accuracy"].interval()}
