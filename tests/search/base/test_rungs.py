"""When a trial reports, and where ASHA decides."""

import pytest

from sp_search.search.base.rungs import report_points, rungs


@pytest.mark.parametrize(
    ("budget", "grace", "factor", "expected"),
    [
        (1600, 100, 4, (100, 400)),
        (1601, 100, 4, (100, 400, 1600)),
        (100, 100, 2, ()),
        (90, 10, 3, (10, 30)),
    ],
)
def test_rungs_grow_by_the_factor_and_end_below_the_budget(budget, grace, factor, expected):
    assert rungs(budget, grace, factor) == expected


@pytest.mark.parametrize(
    ("budget", "grace", "factor", "expected"),
    [
        (1600, 100, 4, (100, 400, 1600)),
        (100, 100, 4, (100,)),
        (500, 100, 2, (100, 200, 400, 500)),
        (1000, 10, 10, (10, 40, 100, 400, 1000)),
    ],
)
def test_a_trial_reports_at_every_rung_at_its_budget_and_at_least_each_fourfold(budget, grace, factor, expected):
    assert report_points(budget, grace, factor) == expected
