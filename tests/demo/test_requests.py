"""What valid and test ask for that training lacks, by construction."""

import numpy as np
import pytest

from sp_search.demo.requests import DEEDS, TIMES, UNHEARD, pairs, requests

SPLITS = ("train", "valid", "test")


@pytest.fixture(scope="module")
def drawn():
    return {split: requests(split, 300, np.random.default_rng(0)) for split in SPLITS}


def test_no_pair_is_of_two_splits_and_none_is_of_no_split():
    of_split = {split: set(pairs(split)) for split in SPLITS}
    assert not of_split["train"] & (of_split["valid"] | of_split["test"])
    assert not of_split["valid"] & of_split["test"]
    everything = {(a, b) for a in DEEDS for b in [*DEEDS, *TIMES] if a[0] != b[0]}
    assert set.union(*of_split.values()) == everything


def test_every_deed_and_every_time_of_valid_and_test_is_in_a_pair_of_training():
    for place in (0, 1):
        heard = {pair[place] for pair in pairs("train")}
        assert {pair[place] for split in ("valid", "test") for pair in pairs(split)} <= heard


def test_sentences_are_drawn_once_and_are_of_one_split(drawn):
    texts = {split: {request.text for request in found} for split, found in drawn.items()}
    assert all(len(found) == 300 for found in texts.values())
    assert not texts["train"] & (texts["valid"] | texts["test"])


def test_a_quarter_of_valid_and_of_test_has_a_carrier_of_its_own(drawn):
    """The carriers of test begin with `now` and put a second deed behind `then`, or the time in front."""
    times = tuple(TIMES.values())
    for split, start in (("valid", "please "), ("test", "now ")):
        own = [
            request
            for request in drawn[split]
            if request.text.startswith(start)
            and (" then " in request.text or request.text[len(start) :].startswith(times))
        ]
        assert len(own) / 300 == pytest.approx(0.25, abs=0.07)
    assert set(UNHEARD) == {"valid", "test"}
    assert not any(
        request.text.startswith(("now ", "please ")) and " then " in request.text for request in drawn["train"]
    )


def test_slots_follow_the_order_of_speech_and_have_the_words_that_are_said(drawn):
    for request in drawn["test"]:
        marks = request.slots.split()
        values = [marks[i + 1] for i in range(0, len(marks), 3)]
        assert [mark.replace("B-", "E-") for mark in marks[::3]] == marks[2::3]
        places = [request.text.split().index(value) for value in values if values.count(value) == 1 and marks]
        times = [value for kind, value in zip(marks[::3], values, strict=True) if kind in ("B-time", "B-minutes")]
        assert all(value in request.text.split() for value in values)
        if not times and "B-place" not in marks:
            assert places == sorted(places)


def test_requests_have_no_intent_and_no_keyword(drawn):
    assert drawn["train"][0].fields().keys() == {"labels", "text", "slots", "keyword"}
    assert drawn["train"][0].fields()["labels"] is None
    assert drawn["train"][0].fields()["keyword"] is None
