"""A plan against what a search does: Ray's own ASHA, and the reports and confirm runs that settings ask for."""

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest

from sp_search.prompts.limits import Limits
from sp_search.search.base.choices import Choice
from sp_search.search.base.protocol import METRIC, TIME
from sp_search.search.base.space import read_space
from sp_search.search.estimate.cost_estimate import draws, estimated_reach, plan_search, reach
from sp_search.search.tune.scheduler import NUMBER, ReplayedScheduler, ray_scheduler
from tests.search.searches import lr_space, settings

LIMITS = {"lr": Limits(float), "length": Limits(int), "kind": Limits(str), "seed": Limits(int)}


@pytest.mark.parametrize("reduction_factor", [2, 3, 4])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_reach_is_what_rays_asha_lets_through(reduction_factor, seed):
    values = np.random.default_rng(seed).random(60).round(2).tolist()  # rounded: some are equal
    points = [100 * reduction_factor**rung for rung in range(4)]
    pruner, budget = Choice("asha", {"brackets": 1}), points[-1]
    inner = ray_scheduler(pruner, budget=budget, grace=100, reduction_factor=reduction_factor)
    asha = ReplayedScheduler(inner, budget=budget)
    reported = Counter()
    for number, value in enumerate(values):
        for at in points:
            reported[at] += 1
            trial = SimpleNamespace(config={NUMBER: number})
            if at == points[0]:
                asha.on_trial_add(None, trial)
            if asha.on_trial_result(None, trial, {TIME: at, METRIC: value}) == "STOP":
                break
    assert reach(values, 4, reduction_factor) == [reported[at] for at in points]


def test_about_one_in_the_factor_of_many_trials_goes_on():
    estimate = estimated_reach(1000, 2, 4)
    assert estimate[0] == 1000
    assert estimate[1] == pytest.approx(250, rel=0.05)


def test_the_best_come_last_and_all_get_through():
    assert reach([0.1, 0.2, 0.3, 0.4], 3, 4) == [4, 4, 4]
    assert reach([0.4, 0.3, 0.2, 0.1], 3, 4) == [4, 1, 1]


def test_a_plan_counts_the_training_of_search_and_confirm_runs(tmp_path):
    plan = plan_search(settings(tmp_path, trials=1, first_trials=({"lr": 0.5}, {"lr": 0.6})), lr_space())
    assert [(point.utterances, point.trials) for point in plan.points] == [(100, 1), (400, 1), (1600, 1)]
    assert (plan.search_utterances, plan.most_search_utterances) == (1600, 1600)
    assert plan.confirm_utterances == plan.most_confirm_utterances == 1 * 2 * 1600  # the only trial, under two seeds
    assert plan.first_trials == ({"lr": 0.5},)


@pytest.mark.parametrize(
    ("changes", "confirm", "most", "final"),
    [
        ({"confirm_top": 3, "confirm_seeds": 3, "final_seeds": 2}, 6, 9, 2 * 3200),
        ({"confirm_top": 3, "confirm_seeds": 1, "final_seeds": 2}, 3, 3, 2 * 3200),
        ({"confirm_top": 1, "confirm_seeds": 3, "final_seeds": 2}, 0, 0, 2 * 3200),
        ({"confirm_top": 3, "confirm_seeds": 3, "final_seeds": 0}, 7, 9, 0),
    ],
)
def test_a_plan_counts_the_race_and_the_final_training(tmp_path, changes, confirm, most, final):
    plan = plan_search(settings(tmp_path, trials=8, **changes), lr_space())
    assert (plan.confirm_utterances, plan.most_confirm_utterances) == (confirm * 1600, most * 1600)
    assert plan.final_utterances == final
    assert plan.utterances == (
        plan.search_utterances + confirm * 1600 + final, plan.most_search_utterances + most * 1600 + final,
    )  # fmt: skip


def test_the_training_of_a_search_is_between_its_first_rung_and_all_of_it(tmp_path):
    plan = plan_search(settings(tmp_path, trials=64), lr_space())
    by_hand = sum(n * step for n, step in zip((p.trials for p in plan.points), (100, 300, 1200), strict=True))
    assert plan.search_utterances == round(by_hand)
    assert 64 * 100 < plan.search_utterances < plan.most_search_utterances == 64 * 1600


def test_ranges_are_told_for_this_lm_and_a_first_trial_as_it_will_be_trained(tmp_path):
    raw = {
        "length": {"int": [1, "layers"], "log": True},
        "kind": {"choice": ["random", "linear"]},
        "seed": {"int": [0, 9], "when": {"kind": "random"}},
        "lr": 0.1,
    }
    given = ({"kind": "random", "seed": 3, "lr": 0.7, "speed": 1},)
    plan = plan_search(settings(tmp_path, first_trials=given), read_space(raw, LIMITS, layers=6))
    assert plan.ranges == {
        "length": "1 to 6, log", "kind": "random or linear", "seed": "0 to 9, when kind is random", "lr": "0.1",
    }  # fmt: skip
    assert plan.first_trials == ({"length": "drawn", "kind": "random", "seed": 3, "lr": 0.1},)


def test_a_million_trials_are_estimated_at_once_and_in_proportion():
    few, many = estimated_reach(1000, 3, 4), estimated_reach(1_000_000, 3, 4)
    assert many == [1000 * count for count in few]
    assert few[0] == 1000


def test_drawn_trials_fill_the_space_and_nothing_beside_it():
    raw = {"length": {"int": [2, 4]}, "lr": {"float": [0.001, 0.1], "log": True}, "kind": {"choice": ["a", "b"]}}
    drawn = draws(read_space(raw, LIMITS, layers=4), 400, seed=1)
    assert {trial["length"] for trial in drawn} == {2, 3, 4}
    assert {trial["kind"] for trial in drawn} == {"a", "b"}
    assert 0.3 < sum(trial["lr"] < 0.01 for trial in drawn) / 400 < 0.7
    assert all(0.001 <= trial["lr"] <= 0.1 for trial in drawn)


def test_without_a_pruner_all_trials_get_to_the_full_budget(tmp_path):
    plan = plan_search(settings(tmp_path, pruner=Choice("none", {})), lr_space())
    assert [point.trials for point in plan.points] == [8, 8, 8]
    assert plan.search_utterances == plan.most_search_utterances == 8 * 1600
