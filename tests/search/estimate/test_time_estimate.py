"""How long a search is expected to take, against sums worked out by hand."""

import pytest

from sp_search.search.base.choices import Choice
from sp_search.search.estimate.played import Pace
from sp_search.search.estimate.time_estimate import Speed, expected, pace_of_rate, stored_bytes
from tests.search.searches import settings

NOTHING = (0.0, 0.0, 0.0)


def seconds(tmp_path, speed=None, around_s=0.0, **changes):
    speed = speed or Speed(Pace(0.0, 0.01), Pace(0.0, 0.01), NOTHING)
    return expected(settings(tmp_path, workers=1, slots=1, **changes), speed, around_s)


def test_one_trial_its_race_and_its_final_training_are_what_they_train(tmp_path):
    found = seconds(tmp_path, trials=1, final_seeds=2, around_s=7.0)
    assert found.seconds == found.most_s == pytest.approx(7.0 + 0.01 * (1600 + 2 * 3200)), "one setting races nobody"
    found = seconds(tmp_path, trials=1, confirm_seeds=3)
    assert found.seconds == pytest.approx(0.01 * (1600 + 3 * 1600))


def test_the_race_is_half_way_between_one_round_and_all(tmp_path):
    more = {"trials": 3, "confirm_top": 3, "confirm_seeds": 3, "final_seeds": 1}
    raced, alone = seconds(tmp_path, **more), seconds(tmp_path, **{**more, "confirm_top": 1})
    assert raced.seconds - alone.seconds == pytest.approx(0.01 * (3 + 9) / 2 * 1600)
    assert raced.most_s - alone.most_s == pytest.approx(0.01 * 3 * 3 * 1600)


def test_the_race_takes_what_its_settings_take_and_the_slowest_may_win_it(tmp_path):
    pace, weights = Pace(0.0, 0.01), (0.5, 1.5, 4.0)
    few = {"trials": 3, "confirm_top": 3, "confirm_seeds": 1, "final_seeds": 1}
    even, uneven = (seconds(tmp_path, Speed(pace, pace, NOTHING, known), **few) for known in ((), weights))
    race = 0.01 * 1600 * (sum(weights) - 3)
    assert uneven.seconds - even.seconds == pytest.approx(race)
    assert uneven.most_s - even.most_s == pytest.approx(race + 0.01 * 3200 * (4.0 - 1.0))
    third_unknown = seconds(tmp_path, Speed(pace, pace, NOTHING, weights[:2]), **few)
    assert third_unknown.seconds == pytest.approx(even.seconds)


def test_measuring_counts(tmp_path):
    speed = Speed(Pace(0.0, 0.01), Pace(0.0, 0.01), (10.0, 40.0, 100.0))
    plain, found = (seconds(tmp_path, one, trials=1, final_seeds=1, interim_cost=10.0) for one in (None, speed))
    of_trial, of_final = 2 * 10 + 3 * 10 + 40, 3 * 10 + (3 + 4) * 10 + 40  # rungs, between them, and all of valid
    answers = (1 + 1) * 140  # one seed, and the best alone
    assert found.seconds - plain.seconds == pytest.approx(0.01 * (of_trial + of_final + answers))


def test_trials_that_asha_stops_take_less_than_all(tmp_path):
    found = seconds(tmp_path, trials=24, confirm_top=1, final_seeds=1)
    assert 24 * 100 * 0.01 < found.seconds < found.most_s
    assert found.most_s == pytest.approx(0.01 * (24 * 1600 + 3200))


def test_the_same_speed_gives_the_same_time_and_twice_the_rate_half_of_it(tmp_path):
    slow, fast = (Speed(pace, pace, NOTHING) for pace in (pace_of_rate(50.0, 1), pace_of_rate(100.0, 1)))
    assert seconds(tmp_path, slow, trials=12) == seconds(tmp_path, slow, trials=12)
    assert seconds(tmp_path, slow, trials=12).seconds == pytest.approx(2 * seconds(tmp_path, fast, trials=12).seconds)


def test_a_study_of_thousands_is_estimated_at_once(tmp_path):
    assert seconds(tmp_path, trials=3000).seconds > 3000 * 100 * 0.01


def test_the_disk_has_states_prompts_and_pages(tmp_path):
    whole = settings(tmp_path, trials=1, confirm_top=1, final_seeds=2)
    small, large = (stored_bytes(whole, size) for size in (0, 10**9))
    states, prompts = 1 + 2, 1 + 2  # the trial and two final trainings; its prompt, the winner's and the single one
    assert large - small == pytest.approx((states + prompts) * 10**9)
    assert small > 10**7


def test_without_a_pruner_all_trials_are_trained_to_the_end(tmp_path):
    none = Choice("none", {})
    found = seconds(tmp_path, trials=24, confirm_top=1, final_seeds=1, pruner=none)
    assert found.seconds == found.most_s == pytest.approx(0.01 * (24 * 1600 + 3200))
    few, all_of_them = (
        stored_bytes(settings(tmp_path, trials=3, **changes), 10**6) for changes in ({}, {"pruner": none})
    )
    assert all_of_them > few
