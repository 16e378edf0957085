"""When a search is over: the time that is kept back, and trials without a better value."""

import time

import pytest

from sp_search.prices import Prices
from sp_search.search.base.spending import Spending
from sp_search.search.run.limits import MARGIN, SearchLimits, Spent
from sp_search.types import Report
from tests.search.fake_search import search
from tests.search.fake_trainer import FakeTrainer
from tests.search.searches import settings
from tests.search.tune.searching import Search


class Clock:
    def __init__(self, now_s=0.0):
        self.now_s = now_s

    def __call__(self):
        return self.now_s


def report(seen, value=0.5):
    return Report(seen, {"valid_accuracy": value})


def test_without_limits_a_search_is_never_over(tmp_path):
    clock = Clock()
    limits = SearchLimits(settings(tmp_path), Spent(clock))
    limits.reported(0, report(1600))
    clock.now_s = 1e9
    assert limits.why_over() == ""


def test_what_follows_the_trials_is_kept_back_at_the_rate_of_this_start(tmp_path):
    """100 utterances a second; two settings of 1,600 race, three final trainings see 3,200 each: 128 s and more."""
    clock = Clock(50.0)  # of earlier starts
    limits = SearchLimits(settings(tmp_path, final_seeds=3, spending=Spending(wall_s=300.0)), Spent(clock))
    assert limits.reserve_s() == 0
    clock.now_s += 8.0
    for number in (0, 1):
        limits.reported(number, report(400))
    kept = MARGIN * (2 * 1600 + 3 * 3200) / 100
    assert limits.reserve_s() == pytest.approx(kept)
    limits.reported(0, report(1600))
    clock.now_s += 24.0  # trial 1 told 400 in 8 s, so it has trained 1,200 since: as before, 3,200 in 32 s
    assert limits.reserve_s() == pytest.approx(kept)


def test_a_search_is_over_when_only_that_time_is_left(tmp_path):
    clock = Clock()
    limits = SearchLimits(settings(tmp_path, spending=Spending(wall_s=100.0)), Spent(clock))
    limits.reported(0, report(1600))
    clock.now_s = 20.0  # 80 a second: 3,200 take 40 s, kept back are 50
    assert limits.why_over() == ""
    clock.now_s = 30.0  # 53 a second: 75 are kept back
    assert limits.why_over() == "what is left of budget.wall=100s is for the race, the final training and the test"


def test_a_search_is_over_when_so_many_trials_in_turn_were_no_better(tmp_path):
    limits = SearchLimits(settings(tmp_path, spending=Spending(flat=3)), Spent(Clock()))
    for number, value in enumerate([0.5, 0.4, 0.6, 0.6, 0.1]):
        limits.reported(number, report(100, value))
        limits.trial_finished(number, "PRUNED", "", {})
        assert limits.why_over() == ""
    limits.reported(5, report(100, 0.59))
    limits.trial_finished(5, "COMPLETE", "", {})
    assert limits.why_over() == "no better trial among the last 3 (budget.flat)"


def test_the_rate_is_known_when_as_many_trials_have_reported_as_run_at_once(tmp_path):
    clock = Clock(60.0)  # of Ray's start
    limits = SearchLimits(settings(tmp_path, slots=10, spending=Spending(wall_s=300.0)), Spent(clock))
    for number in range(15):  # ten run, five wait
        limits.trial_started(number, {}, {})
    clock.now_s += 20.0
    for number in range(9):
        limits.reported(number, report(400))
        assert limits.reserve_s() == 0
    limits.reported(9, report(400))
    assert limits.reserve_s() == pytest.approx(MARGIN * 3200 / 200)
    assert limits.why_over() == ""


def test_trials_of_fewer_than_all_slots_are_enough_where_no_more_were_begun(tmp_path):
    clock = Clock()
    limits = SearchLimits(settings(tmp_path, slots=10, spending=Spending(wall_s=300.0)), Spent(clock))
    limits.trial_started(0, {}, {})
    clock.now_s += 4.0
    limits.measured(0, report(200))
    assert limits.reserve_s() == 0
    limits.reported(0, report(400))
    assert limits.reserve_s() == pytest.approx(MARGIN * 3200 / 100)


def test_a_search_that_is_over_stays_so_when_a_live_trial_improves(tmp_path):
    limits = SearchLimits(settings(tmp_path, spending=Spending(flat=2)), Spent(Clock()))
    for number, value in enumerate([0.5, 0.4, 0.4]):
        limits.reported(number, report(100, value))
        limits.trial_finished(number, "PRUNED", "", {})
    limits.reported(3, report(100, 0.3))
    assert limits.reason == ""
    why = limits.why_over()
    limits.reported(3, report(400, 0.9))
    assert why == limits.why_over() == limits.reason == "no better trial among the last 2 (budget.flat)"


def test_a_continued_trial_counts_from_where_an_earlier_start_left_it(tmp_path):
    first = Search(tmp_path)
    first.searcher.suggest("a")
    first.report("a", 400, 0.5)
    clock = Clock(100.0)
    limits = SearchLimits(settings(tmp_path, spending=Spending(wall_s=1e9)), Spent(clock), first.study)
    limits.trial_started(0, {}, {})
    clock.now_s += 4.0
    limits.reported(0, report(800))
    assert limits.reserve_s() == pytest.approx(MARGIN * 3200 / 100)


def test_trials_without_a_better_value_are_counted_over_all_starts(tmp_path):
    first = Search(tmp_path)
    for name, value in (("a", 0.2), ("b", 0.9), ("c", 0.3), ("d", 0.4)):
        first.searcher.suggest(name)
        first.report(name, 100, value)
        first.end(name)
    limits = SearchLimits(settings(tmp_path, spending=Spending(flat=3)), Spent(Clock()), first.study)
    assert limits.why_over() == ""
    limits.reported(4, report(100, 0.8))
    limits.trial_finished(4, "PRUNED", "", {})
    assert limits.why_over() == "no better trial among the last 3 (budget.flat)"


DEVICES = {"A100": 5400.0, "cpu": 1800.0}
"""Seconds of workers: 1.5 hours and half an hour."""


@pytest.mark.parametrize(
    ("spending", "over"),
    [
        (Spending(device_h=2.1), ""),
        (Spending(device_h=2.0), "budget.device_hours=2"),
        (Spending(money=6.6, prices=Prices({"A100": 4.0, "other": 1.0})), ""),
        (Spending(money=6.5, prices=Prices({"A100": 4.0, "other": 1.0})), "budget.money=6.5"),
        (Spending(money=8.1, prices=Prices({"other": 4.0})), ""),
        (Spending(money=8.0, prices=Prices({"other": 4.0})), "budget.money=8"),
        (Spending(wall_s=100.0, device_h=2.0), "budget.wall=100s"),
    ],
)
def test_device_hours_and_money_are_counted_as_workers_live(tmp_path, spending, over):
    limits = SearchLimits(settings(tmp_path, spending=spending), Spent(lambda: 100.0, lambda: DEVICES))
    why = f"what is left of {over} is for the race, the final training and the test"
    assert limits.why_over() == (why if over else "")


@pytest.mark.parametrize(
    ("spending", "needed"),
    [
        (Spending(device_h=1.0), 3 * 50 / 3600),
        (Spending(money=1.0, prices=Prices({"A100": 36.0, "cpu": 3.6})), (2 * 36.0 + 3.6) * 50 / 3600),
    ],
)
def test_what_follows_the_trials_is_kept_back_with_the_workers_that_live_now(tmp_path, spending, needed):
    """80 utterances a second: 3,200 take 40 s, 50 s are kept back, of two workers on A100 and one on a CPU."""
    clock, used = Clock(), {"cpu": 0.0}
    spent = Spent(clock, lambda: used, lambda: {"A100": 2, "cpu": 1})
    limits = SearchLimits(settings(tmp_path, spending=spending), spent)
    limits.reported(0, report(1600))
    clock.now_s = 20.0
    price = 1.0 if spending.prices is None else 3.6
    used["cpu"] = 3600 * (1.0 - needed) / price - 1
    assert limits.why_over() == ""
    used["cpu"] += 2
    assert limits.why_over().startswith("what is left of budget.")


class SlowStart(FakeTrainer):
    """As one that loads an LM."""

    def __init__(self, shared=None, pause_s=0.0):
        super().__init__(shared, pause_s)
        time.sleep(2.0)


@pytest.mark.slow
def test_a_search_with_ample_time_runs_all_its_trials(in_ray, tmp_path):
    """The first report alone, and the start of Ray, would say that what follows takes longer."""
    sizes = {"slots": 6, "pause_s": 0.05, "final_seeds": 3, "final_budget": 12800}
    summary = search(tmp_path, trainer=SlowStart, spending=Spending(wall_s=60.0), **sizes)
    assert (sum(summary["trials"].values()), summary["ended_early"]) == (8, "")
    assert summary["trials"]["complete"] > 0


@pytest.mark.slow
def test_a_search_that_was_flat_says_so_also_where_the_final_training_is_better(in_ray, tmp_path):
    summary = search(tmp_path, trials=100, spending=Spending(flat=4), final_seeds=1)
    assert sum(summary["trials"].values()) < 100
    assert summary["ended_early"] == "no better trial among the last 4 (budget.flat)"
