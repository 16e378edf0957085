"""Races on recorded runs: who leaves, by hand, and what it saves."""

import numpy as np
import pytest

from sp_search.bench.strategies.curves import Curve
from sp_search.bench.strategies.racing import race_results

N = 100


def runs(number, hits, test):
    """Three runs, each right on the first so many utterances of valid."""
    found = np.zeros(N)
    found[:hits] = 1
    valid = (tuple(found), tuple(np.ones(N)))
    return [
        Curve(number=number, seed=s, params={}, points=((1, hits / N),), test=test, valid=valid) for s in range(3)
    ]


def test_settings_far_behind_leave_after_a_round_and_nothing_is_lost():
    of = {n: runs(n, hits, hits / N) for n, hits in enumerate([90, 40, 30])}
    (found,) = race_results(of, settings=3, seeds=3, races=10, behind=[1.0])
    assert (found.test, found.test_of_all, found.wrong) == (0.9, 0.9, 0.0)
    assert found.runs == pytest.approx(3 / 9)


def test_equal_settings_stay_to_the_end():
    of = {n: runs(n, 80, 0.5) for n in range(4)}
    (found,) = race_results(of, settings=3, seeds=3, races=5, behind=[1.0])
    assert (found.runs, found.wrong, found.test) == (1.0, 0.0, 0.5)


def test_a_higher_threshold_lets_more_stay_and_settings_of_too_few_seeds_are_left_out():
    of = {n: runs(n, hits, hits / N) for n, hits in enumerate([80, 78, 76])} | {9: runs(9, 100, 1.0)[:2]}
    strict, mild = race_results(of, settings=3, seeds=3, races=5, behind=[0.5, 9.0])
    assert strict.runs < mild.runs == 1.0
    assert [strict.test_of_all, mild.test_of_all] == pytest.approx([0.8, 0.8])


def test_one_round_decides_by_a_fresh_run_and_the_trial_of_the_search():
    """Of both runs of 0 some 90 and 60 of 100 utterances are right, of those of 1 some 80 and 80."""
    of = {n: [runs(n, hits, n / 10)[0] for hits in found] for n, found in enumerate([(90, 60), (80, 80)])}
    (found,) = race_results(of, settings=2, seeds=2, races=20, behind=[None])
    assert (found.behind, found.wrong) == (None, 0.0)
    assert [found.test, found.runs] == pytest.approx([0.1, 2 / 4])
