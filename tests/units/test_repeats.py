"""Repeats are seen in the units themselves."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sp_search.units.quantizer import reduce_runs
from sp_search.units.repeats import differing_repeats, repeats_share, splits_that_differ
from tests.tiny import split_of


def split(*rows):
    return split_of([list(row) for row in rows], [["on"]] * len(rows))


REDUCED = split([7, 3] * 20, [3, 7])
REPEATED = split([7, 7, 7, 3] * 20)


@pytest.mark.parametrize(
    ("rows", "share"),
    [
        ([[7, 7, 7, 3]], 2 / 3),
        ([[7, 3], [3, 7]], 0.0),
        ([[7], [7], [7]], 0.0),
        ([[7, 7], [7], [7, 4]], 0.5),
        ([[4]], 0.0),
    ],
)
def test_neighbours_of_one_utterance_are_counted(rows, share):
    assert repeats_share(split(*rows)) == share


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(st.integers(4, 6), min_size=1, max_size=8), min_size=1, max_size=6))
def test_the_share_is_that_of_the_slow_way_and_0_when_reduced(rows):
    pairs = [a == b for row in rows for a, b in itertools.pairwise(row)]
    assert repeats_share(split(*rows)) == pytest.approx(np.mean(pairs) if pairs else 0.0)
    assert repeats_share(split(*(reduce_runs(np.array(row)).tolist() for row in rows))) == 0.0


def test_more_repeats_than_expected_are_said_and_fewer_too():
    assert differing_repeats(REPEATED, 0.0, "the LM x was trained on", "data my") == (
        "data my: 51% of neighbouring units are the same unit, and the LM x was trained on units with 0%: reduce "
        "them (7 7 3 is 7 3), or answers will be worse"
    )
    assert "take units that are not reduced" in differing_repeats(REDUCED, 0.4, "the prompt p was trained on")


@pytest.mark.parametrize(
    ("units", "expected"), [(REDUCED, 0.0), (REDUCED, None), (REPEATED, 0.5), (split([7, 3, 4]), 0.4)]
)
def test_what_agrees_is_not_known_or_too_little_is_not_said(units, expected):
    assert differing_repeats(units, expected, "the LM x") == ""


def test_splits_of_which_one_is_reduced_are_said():
    assert splits_that_differ({"train": REDUCED, "valid": REPEATED, "test": REDUCED}, "data my") == (
        "data my: 51% of neighbouring units are the same unit in valid, 0% in train: make all splits with repeats, "
        "or none"
    )
    assert splits_that_differ({"train": REDUCED, "valid": REDUCED}, "data my") == ""
    assert splits_that_differ({"train": split([7, 7, 3] * 9), "valid": split([7, 3, 7, 3])}, "data my") == ""
    assert splits_that_differ({"train": split([7]), "valid": split([3])}, "data my") == ""
