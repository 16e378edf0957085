"""Ray's schedulers behind our keys: decisions by a table worked out by hand, and the same ones after a restart."""

from types import SimpleNamespace

import numpy as np
import pytest

from sp_search.search.base.protocol import PastReport
from sp_search.search.base.pruners import read_pruner
from sp_search.search.tune.scheduler import METRIC, NUMBER, TIME, ReplayedScheduler, ray_scheduler

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


SIZES = dict(budget=1600, grace=100, reduction_factor=4)


def asha(past=(), pruner="asha"):
    inner = ray_scheduler(read_pruner(pruner, **SIZES), **SIZES)
    return ReplayedScheduler(inner, budget=1600, past=past)


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


# Median of the others' running means so far, from three others on, at grace or behind: a best value below it stops.
MEDIAN = [
    (0, 100, 0.5, CONTINUE),
    (1, 100, 0.1, CONTINUE),  # one other
    (2, 100, 0.6, CONTINUE),  # two others
    (3, 100, 0.4, STOP),  # below 0.5 of (0.1, 0.5, 0.6)
    (4, 100, 0.5, CONTINUE),  # not below 0.45 of (0.1, 0.4, 0.5, 0.6)
    (1, 400, 0.2, CONTINUE),  # nobody else is there yet
    (0, 400, 0.7, CONTINUE),
    (2, 400, 0.6, CONTINUE),
    (4, 400, 0.55, STOP),  # below 0.6 of (0.15, 0.6, 0.6)
    (0, 1600, 0.9, STOP),  # the budget is spent
]


def test_the_median_rule_follows_its_table_also_behind_a_restart():
    wanted = [decision for *_, decision in MEDIAN]
    assert play(asha(pruner="median"), MEDIAN) == wanted
    for cut in range(1, len(MEDIAN)):
        assert play(asha(past_of(MEDIAN[:cut]), pruner="median"), MEDIAN[cut:]) == wanted[cut:]


def test_without_a_pruner_only_the_budget_stops_a_trial():
    rows = [(0, 100, 0.9, CONTINUE), (1, 100, 0.0, CONTINUE), (1, 1600, 0.1, STOP), (2, 100, NAN, STOP)]
    assert play(asha(pruner="none"), rows) == [decision for *_, decision in rows]


def test_brackets_are_the_same_behind_a_restart_whatever_numpy_has_drawn():
    rows = [(number, 100, 0.9 - number / 100, None) for number in range(30)]
    pruner = {"name": "asha", "brackets": 2}
    np.random.seed(1)
    wanted = play(asha(pruner=pruner), rows)
    assert {CONTINUE, STOP} == set(wanted)
    assert wanted.count(CONTINUE) > 1, "one at least is in the bracket whose first rung comes later"
    for cut in (1, 10, 20):
        np.random.seed(cut)
        assert play(asha(past_of(rows[:cut]), pruner=pruner), rows[cut:]) == wanted[cut:]


def test_the_draw_of_a_bracket_leaves_numpys_generator_as_it_was():
    np.random.seed(3)
    wanted = np.random.random(2).tolist()
    np.random.seed(3)
    scheduler = asha(pruner={"name": "asha", "brackets": 2})
    found = [np.random.random()]
    scheduler.on_trial_add(None, tune_trial(0))
    assert [*found, np.random.random()] == wanted


class Inner:
    """A scheduler that remembers whom it was told of."""

    def __init__(self):
        self.told = []

    def on_trial_add(self, controller, trial):
        self.told.append(("add", trial.number))

    def on_trial_remove(self, controller, trial):
        self.told.append(("remove", trial.number))

    def on_trial_result(self, controller, trial, result):
        self.told.append(("report", trial.number, result[TIME]))
        return CONTINUE


@pytest.mark.parametrize("end", ["on_trial_remove", "on_trial_error"])
def test_a_trial_that_ends_without_a_result_is_forgotten_once_and_may_come_again(end):
    inner = Inner()
    scheduler = ReplayedScheduler(inner, budget=1600)
    scheduler.on_trial_add(None, tune_trial(3))
    getattr(scheduler, end)(None, tune_trial(4))
    for _ in range(2):
        getattr(scheduler, end)(None, tune_trial(3))
    scheduler.on_trial_add(None, tune_trial(3))
    getattr(scheduler, end)(None, tune_trial(3))
    assert inner.told == [("add", 3), ("remove", 3), ("add", 3), ("remove", 3)]


def test_every_trial_stops_at_its_next_report_once_the_search_is_over():
    over = []
    none = ray_scheduler(read_pruner("none", **SIZES), **SIZES)
    scheduler = ReplayedScheduler(none, budget=1600, is_over=lambda: over)
    scheduler.on_trial_add(None, trial := tune_trial(0))
    assert scheduler.on_trial_result(None, trial, {TIME: 100, METRIC: 0.5}) == CONTINUE
    over.append("time")
    assert scheduler.on_trial_result(None, trial, {TIME: 200, METRIC: 0.5}) == STOP


def test_the_first_trial_that_waits_runs_next():
    live = [SimpleNamespace(status=status, config={NUMBER: number}) for status, number in
            (("RUNNING", 0), ("PENDING", 5), ("PENDING", 2), ("PAUSED", 1))]  # fmt: skip
    scheduler = ReplayedScheduler(Inner(), budget=1600)
    assert scheduler.choose_trial_to_run(SimpleNamespace(get_live_trials=lambda: live)) is live[2]
    assert scheduler.choose_trial_to_run(SimpleNamespace(get_live_trials=lambda: live[:1])) is None


@pytest.mark.parametrize(("factor", "decision"), [(2, CONTINUE), (4, STOP)])
def test_the_share_that_goes_on_is_that_of_the_settings(factor, decision):
    """0.22 is above the median of 0.1, 0.2 and 0.3, and below their third quartile, 0.25."""
    sizes = SIZES | {"reduction_factor": factor}
    scheduler = ReplayedScheduler(ray_scheduler(read_pruner("asha", **sizes), **sizes), budget=1600)
    rows = [(number, 100, value, None) for number, value in enumerate((0.1, 0.2, 0.3, 0.22))]
    assert play(scheduler, rows)[-1] == decision


def test_settings_of_a_pruner_reach_rays_scheduler():
    median = ray_scheduler(read_pruner({"name": "median", "min_samples_required": 7}, **SIZES), **SIZES)
    assert median._min_samples_required == 7
    hyperband = ray_scheduler(read_pruner({"name": "hyperband", "brackets": 2}, **SIZES), **SIZES)
    assert len(hyperband._brackets) == 2


def test_a_trial_of_several_past_reports_is_added_once_and_not_again_when_it_goes_on():
    inner = Inner()
    scheduler = ReplayedScheduler(inner, budget=1600, past=[PastReport(3, 100, 0.5), PastReport(3, 400, 0.6)])
    assert inner.told == [("add", 3), ("report", 3, 100), ("report", 3, 400)]
    scheduler.on_trial_remove(None, tune_trial(3))
    assert inner.told[-1] == ("remove", 3)
