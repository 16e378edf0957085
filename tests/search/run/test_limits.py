"""When a search is over: the time that is kept back, and trials without a better value."""

import math

import pytest

from sp_search.search.run.limits import MARGIN, SearchLimits
from sp_search.types import Report
from tests.search.searches import settings


class Clock:
    def __init__(self, now_s=0.0):
        self.now_s = now_s

    def __call__(self):
        return self.now_s


def report(seen, value=0.5):
    return Report(seen, {"valid_accuracy": value})


def test_without_limits_a_search_is_never_over(tmp_path):
    clock = Clock()
    limits = SearchLimits(settings(tmp_path), clock)
    limits.reported(0, report(1600))
    clock.now_s = 1e9
    assert limits.why_over() == ""


def test_what_follows_the_trials_is_kept_back_at_the_rate_of_this_start(tmp_path):
    """100 utterances a second; two settings of 1,600 race, three final trainings see 3,200 each: 128 s and more."""
    clock = Clock(50.0)  # of earlier starts
    limits = SearchLimits(settings(tmp_path, final_seeds=3, wall_s=300.0), clock)
    assert limits.reserve_s() == 0
    for number in (0, 1):
        limits.reported(number, report(400))
    clock.now_s += 8.0
    kept = MARGIN * (2 * 1600 + 3 * 3200) / 100
    assert limits.reserve_s() == pytest.approx(kept)
    limits.reported(0, report(1600))
    clock.now_s += 12.0  # as before, 2,000 utterances in 20 s
    assert limits.reserve_s() == pytest.approx(kept)


def test_a_search_is_over_when_only_that_time_is_left(tmp_path):
    clock = Clock()
    limits = SearchLimits(settings(tmp_path, wall_s=100.0), clock)
    limits.reported(0, report(1600))
    clock.now_s = 20.0  # 80 a second: 3,200 take 40 s, kept back are 50
    assert limits.why_over() == ""
    clock.now_s = 30.0  # 53 a second: 75 are kept back
    assert limits.why_over() == ("the time left is for the race, the final training and the test (budget of 100 s)")


def test_a_search_is_over_when_so_many_trials_in_turn_were_no_better(tmp_path):
    limits = SearchLimits(settings(tmp_path, flat=3), Clock())
    for number, value in enumerate([0.5, 0.4, 0.6, 0.6, 0.1]):
        limits.reported(number, report(100, value))
        limits.trial_finished(number, "PRUNED", "", {})
        assert limits.why_over() == ""
    limits.reported(5, report(100, 0.59))
    limits.trial_finished(5, "COMPLETE", "", {})
    assert limits.why_over() == "no better trial among the last 3 (budget.flat)"
    assert math.isinf(settings(tmp_path).wall_s)
