"""Limits of a parameter: what they let pass, by hand and against a plain form, and how they say no."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sp_search.prompts.limits import Limits


@pytest.mark.parametrize(
    ("limits", "shown"),
    [
        (Limits(int, low=1), "1 or more"),
        (Limits(int, low=1, high=40), "1 to 40"),
        (Limits(float, low=0, above_low=True), "above 0"),
        (Limits(float, low=0, high=1, below_high=True), "0 or more and below 1"),
        (Limits(float, high=2), "at most 2"),
        (Limits(float, low=0, high=1, above_low=True), "above 0 and at most 1"),
        (Limits(float), "a number"),
        (Limits(bool), "true or false"),
        (Limits(str), "a word"),
        (Limits(str, ("a",)), "a"),
        (Limits(str, ("a", "b", "c")), "a, b or c"),
    ],
)
def test_limits_are_shown_in_words(limits, shown):
    assert limits.shown == shown


@pytest.mark.parametrize(
    ("limits", "value", "fault"),
    [
        (Limits(int, low=1), 0, "expected 1 or more, got 0"),
        (Limits(int, low=1), 1.0, "expected a whole number, 1 or more, got 1.0"),
        (Limits(int, low=1), True, "expected a whole number, 1 or more, got true"),
        (Limits(int), None, "expected a whole number, got None"),
        (Limits(float), "x", "expected a number, got 'x'"),
        (Limits(float), float("-inf"), "expected a number, got -inf"),
        (Limits(float), 10**400, f"expected a number, got {10**400}"),
        (Limits(str, ("a", "b")), ["a"], "expected a or b, got ['a']"),
        (Limits(bool), 1, "expected true or false, got 1"),
        (Limits(float, low=0), 3, ""),
        (Limits(int, low=1, high=3), 3, ""),
        (Limits(str), "", ""),
    ],
)
def test_a_fault_says_what_was_expected_and_what_came(limits, value, fault):
    assert limits.fault(value) == fault


def test_at_most_lowers_the_end_and_never_raises_it():
    limits = Limits(int, low=1, high=10)
    assert (limits.at_most(4).high, limits.at_most(40).high) == (4, 10)


NUMBERS = st.one_of(st.integers(-5, 5), st.floats(allow_nan=True, allow_infinity=True), st.sampled_from([0.5, 1.0]))
ENDS = st.sampled_from([-math.inf, -2.0, 0.0, 1.0, 3.0, math.inf])


@given(value=NUMBERS, low=ENDS, high=ENDS, above=st.booleans(), below=st.booleans())
@settings(max_examples=500, deadline=None)
def test_a_number_passes_where_a_plain_comparison_says_so(value, low, high, above, below):
    wanted = math.isfinite(value) and (low < value if above else low <= value)
    wanted = wanted and (value < high if below else value <= high)
    assert (Limits(float, low=low, high=high, above_low=above, below_high=below).fault(value) == "") == wanted
