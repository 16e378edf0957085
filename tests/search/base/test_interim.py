"""Where valid is measured between two reports: by counts alone, within a share of the training."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sp_search.search.base.rungs import INTERIM_SHARE, MOST_INTERIM, interim_points, measuring_cost, report_points

SIZES = st.tuples(st.integers(1, 10**6), st.integers(1, 10**6), st.integers(2, 8))


@pytest.mark.parametrize(
    ("points", "cost", "expected"),
    [
        ((1000, 4000, 16000), 110.0, (7000, 10000, 13000)),  # of 12,000 there are 336 to spend, of 3,000 but 84
        ((1000, 4000, 16000), 335.0, (10000,)),
        ((1000, 4000, 16000), 337.0, ()),
        ((8000, 32000), 170.0, (4000, 14000, 20000, 26000)),
        ((90,), 1e-9, (10, 20, 30, 40, 50, 60, 70, 80)),  # however little it costs
        ((8000, 32000, 128000), math.inf, ()),
        ((1, 2), 1e-9, ()),
    ],
)
def test_as_many_as_the_training_between_two_reports_pays_for(points, cost, expected):
    assert interim_points(points, cost) == expected


@given(SIZES, st.floats(1e-3, 1e6))
def test_they_lie_between_the_reports_and_cost_their_share_at_most(sizes, cost):
    budget, grace, factor = sizes
    points = report_points(budget, min(grace, budget), factor)
    found = interim_points(points, cost)
    assert list(found) == sorted(set(found))
    assert not set(found) & {0, *points}
    for start, end in pairwise((0, *points)):
        between = [point for point in found if start < point < end]
        assert len(between) <= MOST_INTERIM
        assert len(between) * cost <= INTERIM_SHARE * (end - start) * (1 + 1e-9)


def test_measuring_costs_less_than_training_on_as_much_and_more_where_answers_are_written():
    assert measuring_cost(0, writes=True) == 0
    assert measuring_cost(300, writes=False) < measuring_cost(300, writes=True) < 300
