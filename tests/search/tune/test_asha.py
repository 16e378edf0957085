"""Ray's ASHA behind our keys: decisions by a table worked out by hand, and the same ones after a restart."""

from types import SimpleNamespace

import pytest

from sp_search.search.base.protocol import PastReport
from sp_search.search.tune.asha import METRIC, NUMBER, TIME, Asha

CONTINUE, STOP = "CONTINUE", "STOP"
NAN = float("nan")
# Rungs at 100 and 400 of 1600, one in four goes on: a trial stops below the 75th percentile of those before it.
TABLE = [
    (0, 100, 0.50, CONTINUE),  # the first at its rung
    (1, 100, 0.40, STOP),  # below 0.5
    (2, 100, 0.60, CONTINUE),  # above 0.475 of (0.4, 0.5)
    (0, 200, 0.10, CONTINUE),  # between rungs nothing is decided
    (3, 100, 0.45, STOP),  # below 0.55 of (0.4, 0.5, 0.6)
    (4, 100, 0.58, CONTINUE),  # above 0.525 of (0.4, 0.45, 0.5, 0.6)
    (0, 400, 0.70, CONTINUE),
    (2, 400, 0.65, STOP),  # below 0.7
    (5, 100, NAN, STOP),  # never a metric, and no part of the rung
    (4, 400, 0.90, CONTINUE),
    (6, 100, 0.575, STOP),  # below 0.58 of (0.4, 0.45, 0.5, 0.58, 0.6)
    (0, 1600, 0.80, STOP),  # the budget is spent
    (4, 1600, 0.95, STOP),
]


def asha(past=()):
    return Asha(budget=1600, grace=100, reduction_factor=4, past=past)


def tune_trial(number):
    return SimpleNamespace(trial_id=f"tune-{number}", config={NUMBER: number})


def play(scheduler, rows, trials=None):
    """Decisions on rows, every trial added at its first one."""
    known = {} if trials is None else trials
    decisions = []
    for number, seen, value, _ in rows:
        if number not in known:
            known[number] = tune_trial(number)
            scheduler.on_trial_add(None, known[number])
        decisions.append(scheduler.on_trial_result(None, known[number], {TIME: seen, METRIC: value}))
    return decisions


def past_of(rows):
    return [PastReport(number, seen, value) for number, seen, value, _ in rows if value == value]


def test_decisions_follow_the_table():
    assert play(asha(), TABLE) == [decision for *_, decision in TABLE]


@pytest.mark.parametrize("cut", range(1, len(TABLE)))
def test_a_restart_after_any_report_changes_no_later_decision(cut):
    scheduler = asha(past_of(TABLE[:cut]))
    assert play(scheduler, TABLE[cut:]) == [decision for *_, decision in TABLE[cut:]]


def test_a_restart_without_its_past_would_decide_otherwise():
    assert play(asha(), TABLE[4:]) != [decision for *_, decision in TABLE[4:]]


def test_a_continued_trial_keeps_the_place_its_number_had():
    scheduler = asha(past_of(TABLE[:3]))
    continued = tune_trial(0)
    scheduler.on_trial_add(None, continued)
    assert scheduler.on_trial_result(None, continued, {TIME: 200, METRIC: 0.0}) == CONTINUE


def test_a_trial_that_errs_leaves_its_earlier_reports_in_the_rungs():
    scheduler, trials = asha(), {}
    play(scheduler, TABLE[:3], trials)
    scheduler.on_trial_error(None, trials[2])
    assert play(scheduler, TABLE[4:5]) == [STOP]


def test_reports_are_replayed_in_the_order_in_which_they_came():
    rows = [(0, 200, 0.9, CONTINUE), (0, 300, 0.2, CONTINUE), (1, 200, 0.5, STOP)]
    assert play(asha(), rows) == [CONTINUE, CONTINUE, STOP]  # of both, 0.9 came first and stands at the first rung
    assert asha(past_of(rows[:2])).stopped(0) is False
    assert play(asha(past_of(rows[:2])), rows[2:3]) == [STOP]
    assert play(asha(past_of(rows[1::-1])), rows[2:3]) != [STOP], "in reverse the rung would hold 0.2"


@pytest.mark.parametrize(("number", "stopped"), [(0, False), (1, True), (2, False), (9, False)])
def test_it_knows_which_trial_the_last_report_had_stopped(number, stopped):
    assert asha(past_of(TABLE[:3])).stopped(number) is stopped
