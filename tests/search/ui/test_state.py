"""How far a search is, and how it fits a screen."""

import io

import pytest
from rich.console import Console

from sp_search.durations import spoken as said
from sp_search.search.ui.screen import screen, spark
from sp_search.search.ui.state import Before, SearchState, wilson
from sp_search.search.ui.words import time_left
from sp_search.types import Report
from tests.search.searches import settings
from tests.search.ui.played import Clock

SEARCH = {"role": "search"}


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def state(tmp_path, clock):
    sizes = {"final_seeds": 3, "final_budget": 3200, "confirm_seeds": 3}
    return SearchState(settings(tmp_path, **sizes), clock, Before({}, {}), valid=(100, 400))


def report(seen, value):
    return Report(seen, {"valid_accuracy": value, "utterances_per_s": 100.0})


def test_the_phases_follow_the_runs(state):
    assert state.phase == "starting"
    state.started(0, {}, SEARCH)
    assert state.phase == "searching"
    state.finished(0, "COMPLETE", "")
    state.started(1_000_001, {}, {"role": "confirm", "of_trial": "0"})
    assert state.phase == "confirming"
    state.finished(1_000_001, "COMPLETE", "")
    state.started(2_000_001, {}, {"role": "final", "of_trial": "0"})
    assert state.phase == "final training"
    state.finished(2_000_001, "COMPLETE", "")
    assert state.phase == "choosing the answer"
    assert time_left(state) == "training is done"


def test_the_time_left_is_what_is_to_be_trained_at_the_rate_so_far(state, clock):
    assert state.left() is None
    state.started(0, {}, SEARCH)
    clock.now = 16.0
    state.reported(0, report(1600, 0.5))
    state.finished(0, "COMPLETE", "")
    left = state.left()
    assert left.least == pytest.approx((7 * 100 + 2 * 1600 + 3 * 3200) / 100), "seven stop at the first rung"
    assert left.most == pytest.approx((7 * 1600 + 2 * 3 * 1600 + 3 * 3200) / 100), "none is stopped"
    assert left.least < left.likely < left.most
    assert 0 < state.share < 1


def test_the_time_left_goes_to_nothing_as_runs_end(state, clock):
    for number in range(8):
        state.started(number, {}, SEARCH)
        clock.now += 1.0
        state.reported(number, report(100, 0.5))
        state.finished(number, "PRUNED", "")
    for repeat in (1, 2):
        state.started(1_000_000 + repeat, {}, {"role": "confirm", "of_trial": "0"})
        state.reported(1_000_000 + repeat, report(1600, 0.5))
        state.finished(1_000_000 + repeat, "COMPLETE", "")
    for repeat in (1, 2, 3):
        state.started(2_000_000 + repeat, {}, {"role": "final", "of_trial": "0"})
        state.reported(2_000_000 + repeat, report(3200, 0.5))
    assert (state.left().likely, state.left().most) == (0.0, 0.0)
    assert state.share == 1.0


def test_what_an_earlier_start_has_trained_does_not_raise_the_rate(tmp_path, clock):
    state = SearchState(settings(tmp_path), clock, Before({}, {0: 1500}))
    state.started(0, {}, SEARCH)
    clock.now = 10.0
    state.reported(0, report(1600, 0.5))
    assert state.trained == 100


def test_the_best_of_an_earlier_start_stays_until_it_is_beaten(tmp_path, clock):
    state = SearchState(settings(tmp_path), clock, Before({"pruned": 1}, {}, (0.6, "trial 4", 400)), valid=(100, 400))
    assert state.interval == wilson(0.6, 100)
    state.started(5, {}, SEARCH)
    state.reported(5, report(400, 0.5))
    assert state.best == (0.6, "trial 4", 400)
    state.reported(5, report(1600, 0.7))
    assert state.best == (0.7, "trial 5", 1600)
    assert state.interval == wilson(0.7, 400)


def test_the_interval_is_of_as_many_utterances_as_were_measured(state):
    state.started(5, {}, SEARCH)
    state.reported(5, report(400, 0.5))
    assert state.interval == wilson(0.5, 100)
    state.reported(5, report(1600, 0.5))
    assert state.interval == wilson(0.5, 400)
    state.started(2_000_001, {}, {"role": "final", "of_trial": "0"})
    state.reported(2_000_001, report(1600, 0.6))  # half of a final run's budget
    assert state.interval == wilson(0.6, 100)


def test_wilsons_interval_has_the_published_values():
    """Newcombe (1998), table I, method 3: 81 of 263, and 0 of 20."""
    assert wilson(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson(0.0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)


def test_a_curve_is_drawn_in_blocks_from_the_lowest_to_the_highest_value():
    assert spark([0.0, 0.5, 1.0], 0.0, 1.0) == "▁▅█"
    assert spark([0.25], 0.25, 0.25) == "▁"


@pytest.mark.parametrize(("seconds", "words"), [(3.4, "3 s"), (100, "2 min"), (3600, "1 h 0 min")])
def test_a_time_is_said_as_people_do(seconds, words):
    assert said(seconds) == words


@pytest.mark.parametrize(("width", "height"), [(80, 24), (160, 48), (60, 14), (40, 12)])
def test_no_screen_is_larger_than_the_terminal_however_many_trials_run(state, clock, width, height):
    for number in range(100):
        state.started(number, {"prompt_length": 5, "lr": 0.0123, "verbalizer": "likelihood"}, SEARCH)
        clock.now += 1.0
        state.reported(number, report(400, number / 200))
    stream = io.StringIO()
    Console(file=stream, width=width, height=height, force_terminal=False).print(screen(state, width, height))
    lines = stream.getvalue().splitlines()
    assert len(lines) < height
    assert max(map(len, lines)) <= width
    assert any("more that started before" in line for line in lines)
    assert lines[-1].split()[0] in {"99", "98", "97"}


def test_what_is_measured_between_reports_counts_as_trained_and_is_on_the_curve(state, clock):
    state.started(0, {}, SEARCH)
    clock.now = 9.0
    state.reported(0, report(100, 0.25))
    run = state.measured(0, Report(900, {"valid_accuracy": 0.5}))
    assert (run.seen, run.value, list(run.curve)) == (900, 0.5, [100, 900])
    assert (state.trained, state.rate) == (900, 100.0)
    assert state.best == (0.25, "trial 0", 100), "it decides nothing"
    assert state.interval == pytest.approx(wilson(0.25, 100))


def test_trials_that_a_budget_left_out_or_that_were_twins_are_not_waited_for_behind_the_search(state, clock):
    state.started(0, {}, SEARCH)
    clock.now = 16.0
    state.reported(0, report(1600, 0.5))
    state.finished(0, "COMPLETE", "")
    state.started(1_000_001, {}, {"role": "confirm", "of_trial": "0"})
    left = state.left()
    assert left.most == pytest.approx((2 * 3 * 1600 + 3 * 3200) / 100), "the race and the final training alone"
    for repeat in (1, 2, 3):
        number = 2_000_000 + repeat
        state.started(number, {}, {"role": "final", "of_trial": "0"})
        state.reported(number, report(3200, 0.5))
        state.finished(number, "COMPLETE", "")
    state.finished(1_000_001, "COMPLETE", "")
    assert state.share == 1


def test_a_trial_that_has_the_results_of_an_earlier_one_has_ended(state):
    state.started(0, {}, SEARCH)
    state.finished(0, "FAIL", "no memory")
    for of_state in ("COMPLETE", "PRUNED", "COMPLETE"):
        state.copied(of_state)
    assert state.ended == {"failed": 1, "complete": 2, "pruned": 1}
