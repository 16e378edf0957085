"""Runs on workers played through, against times worked out by hand and the rule of ASHA."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sp_search.search.estimate.cost_estimate import Rungs, reach
from sp_search.search.estimate.played import Pace, Run, Stretch, play

EACH, SHARED = Pace(0.0, 1.0), Pace(1.0, 0.0)


def runs(*stretches):
    """A run for each sequence of utterances."""
    return [Run(number, [Stretch(utterances, 0.0) for utterances in one]) for number, one in enumerate(stretches)]


@pytest.mark.parametrize(
    ("pace", "workers", "slots", "seconds"),
    [
        (EACH, 1, 2, 30.0),  # together for 20 s, in which the shorter one ends; then 10 utterances more
        (SHARED, 1, 2, 20.0),  # one costs as much as both
        (EACH, 2, 1, 20.0),  # each on a worker of its own
        (EACH, 1, 1, 30.0),  # one after the other
    ],
)
def test_two_runs_of_ten_and_twenty_utterances(pace, workers, slots, seconds):
    assert play(runs([10], [20]), workers, slots, pace) == pytest.approx(seconds)


def test_a_run_of_a_slow_setting_takes_longer_and_holds_up_those_beside_it():
    slow, fast = Run(0, [Stretch(10, 0.0)], weight=3.0), Run(1, [Stretch(20, 0.0)])
    assert play([slow, fast], 1, 2, EACH) == pytest.approx(10 * (3.0 + 1.0) + 10 * 1.0)
    slow, fast = Run(0, [Stretch(10, 0.0)], weight=3.0), Run(1, [Stretch(20, 0.0)])
    assert play([slow, fast], 2, 1, EACH) == pytest.approx(30.0)


def test_a_worker_stands_still_while_it_measures():
    measured = [Run(0, [Stretch(10, 3.0), Stretch(10, 5.0)]), Run(1, [Stretch(20, 0.0)])]
    assert play(measured, 1, 2, EACH) == pytest.approx(40.0 + 3.0 + 5.0)


def test_the_last_runs_are_spread_over_the_workers():
    assert play(runs([10], [40], [10], [40]), 2, 2, EACH) == pytest.approx(50.0)


def test_a_run_that_is_stopped_makes_room_for_the_next():
    made = runs([10, 90], [10, 90])
    assert play(made, 1, 1, EACH, goes_on=lambda run: run.number == 1) == pytest.approx(110.0)
    assert [run.at for run in made] == [0, 1]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_one_after_the_other_they_come_as_far_as_asha_lets_them(values):
    decided = Rungs(2, 4)
    made = runs(*[[1, 3, 12]] * len(values))
    seconds = play(made, 1, 1, EACH, lambda run: decided.goes_on(run.at, values[run.number]))
    reached = [sum(run.at >= point for run in made) for point in range(3)]
    assert reached == reach(values, 3, 4)
    assert seconds == pytest.approx(reached[0] + 3 * reached[1] + 12 * reached[2])


@given(st.lists(st.integers(1, 50), min_size=1, max_size=12), st.integers(1, 3), st.integers(1, 4))
def test_no_time_is_lost_or_won(lengths, workers, slots):
    seconds = play(runs(*[[n] for n in lengths]), workers, slots, EACH)
    assert sum(lengths) / workers - 1e-6 <= seconds <= sum(lengths) + 1e-6
    assert seconds >= max(lengths) - 1e-6
