import re
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sp_search.errors import DataError
from sp_search.metrics.slots import read_slots, slot_edit_f1, slot_type_f1, slot_value_cer

LONDON, PARIS, TODAY, JAZZ = ("city", "london"), ("city", "paris"), ("date", "today"), ("genre", "jazz")


@pytest.mark.parametrize(
    ("text", "slots"),
    [
        ("", []),
        ("no slot here", []),
        ("fly to B-city london E-city", [LONDON]),
        ("B-city new  york E-city on B-date today E-date please", [("city", "new york"), TODAY]),
        ("B-city london E-city B-city paris E-city", [LONDON, PARIS]),
        ("B-city london", []),
        ("london E-city", []),
        ("B-city E-city", []),
        ("B-city london E-date", []),
        ("B-city london B-date today E-date", [TODAY]),
        ("B-city london B-date today E-city", [("city", "london today")]),
        ("B-city london E-date today E-city", [("city", "london today")]),
        ("B-list mine E-list_owner", [("list", "mine")]),
        ("B- x E- B-B- x E-B-", [("B-", "x")]),
    ],
)
def test_slots_are_read_between_their_marks(text, slots):
    assert read_slots(text) == slots


def as_superb_reads(text):
    """Its two steps as one pattern and two deletions."""
    found = re.findall(r"B-(\S+) (.+?) E-\1", text)
    return [(kind, re.sub(r" E-\S+", "", re.sub(r"B-\S+ ", "", value))) for kind, value in found]


words = st.sampled_from(["B-a", "E-a", "B-ab", "E-ab", "B-c", "E-c", "x", "yy", "B-", "E-", "B"])


@given(st.lists(words, max_size=14).map(" ".join))
def test_a_text_that_is_not_well_formed_is_read_as_superb_reads_it(text):
    assert read_slots(text) == as_superb_reads(text)


@pytest.mark.parametrize(
    ("predicted", "wanted", "f1"),
    [
        ([LONDON], [LONDON], 1),
        ([PARIS], [LONDON], 1),  # the type counts, not the value
        ([LONDON, PARIS], [LONDON], 1),  # however often
        ([LONDON], [LONDON, PARIS], 1),
        ([LONDON], [LONDON, TODAY], Fraction(2, 3)),  # P 1, R 1/2
        ([LONDON, TODAY, JAZZ], [LONDON], Fraction(1, 2)),  # P 1/3, R 1
        ([JAZZ], [LONDON, TODAY], 0),
        ([], [LONDON], 0),
        ([LONDON], [], 0),
        ([], [], 1),
    ],
)
def test_type_f1_compares_sets_of_types(predicted, wanted, f1):
    assert slot_type_f1([predicted], [wanted]).value == pytest.approx(float(f1), abs=1e-15)


def test_type_f1_is_the_mean_over_utterances():
    measured = slot_type_f1([[LONDON], [], [PARIS]], [[LONDON, TODAY], [], [TODAY]])
    np.testing.assert_allclose(measured.found, [2 / 3, 1, 0])
    np.testing.assert_array_equal(measured.total, [1, 1, 1])


@pytest.mark.parametrize(
    ("predicted", "wanted", "errors", "length"),
    [
        ([LONDON], [LONDON], 0, 6),
        ([("city", "lindon")], [LONDON], 1, 6),
        ([], [LONDON], 6, 6),
        ([TODAY], [LONDON], 6, 6),  # another type is no answer
        ([PARIS, ("city", "londn")], [LONDON], 1, 6),  # the nearest of its type
        ([LONDON], [LONDON, ("city", "lond")], 2, 10),  # one prediction may answer two
        ([LONDON, TODAY], [LONDON], 0, 6),  # what nobody wanted costs nothing
        ([("city", "newyork")], [("city", "new york")], 1, 8),  # a blank is a character
        ([LONDON], [], 0, 0),
    ],
)
def test_value_cer_holds_each_wanted_value_against_the_nearest_of_its_type(predicted, wanted, errors, length):
    measured = slot_value_cer([predicted, [TODAY]], [wanted, [TODAY]])
    np.testing.assert_array_equal(measured.found, [errors, 0])
    np.testing.assert_array_equal(measured.total, [length, 5])


@pytest.mark.parametrize(
    ("predicted", "wanted", "f1"),
    [
        ([LONDON, TODAY], [LONDON, TODAY], 1),
        ([TODAY, LONDON], [LONDON, TODAY], 1),
        ([PARIS], [LONDON], 0),  # FN and FP
        ([PARIS, TODAY], [LONDON, TODAY], Fraction(2, 4)),
        ([TODAY], [LONDON, TODAY], Fraction(2, 3)),  # a missing slot: FN alone
        ([LONDON, TODAY, JAZZ], [LONDON], Fraction(2, 4)),  # two types nobody wanted: FP each
        ([LONDON, JAZZ, ("genre", "pop")], [LONDON], Fraction(2, 4)),
        ([LONDON, PARIS], [LONDON], 1),  # a second value of a wanted type costs nothing
        ([LONDON], [LONDON, LONDON], 1),  # and one prediction may answer two
        ([LONDON], [LONDON, PARIS], Fraction(2, 4)),
    ],
)
def test_edit_f1_compares_whole_slots(predicted, wanted, f1):
    assert slot_edit_f1([predicted], [wanted]).value == float(f1)


def test_edit_f1_is_taken_over_the_slots_of_all_utterances():
    measured = slot_edit_f1([[LONDON], [], []], [[LONDON], [TODAY, JAZZ], []])
    np.testing.assert_array_equal(measured.found, [2, 0, 0])
    np.testing.assert_array_equal(measured.total, [2, 2, 0])


@pytest.mark.parametrize("metric", [slot_value_cer, slot_edit_f1])
def test_a_corpus_without_slots_is_refused(metric):
    with pytest.raises(DataError, match="expected something to measure in 2 utterances, found nothing"):
        metric([[], []], [[], []])


@pytest.mark.parametrize("metric", [slot_type_f1, slot_value_cer, slot_edit_f1])
def test_utterances_that_do_not_pair_up_are_refused(metric):
    with pytest.raises(ValueError, match="is longer than"):
        metric([[LONDON]], [[LONDON], [TODAY]])
