"""Replayed searches against tables by hand: what was seen when, and who stops where."""

import pytest

from sp_search.bench.strategies.curves import Curve
from sp_search.bench.strategies.lookup import Lookup
from sp_search.bench.strategies.replay import replay
from sp_search.search.base.choices import Choice
from sp_search.search.study.sampler import read_sampler
from tests.bench.strategies.made_up import BUDGET, SPACE, curve, many
from tests.search.searches import settings

FIRST = [0.5, 0.2, 0.8, 0.4]


def searched(tmp_path, utterances=10**9, curves=None, **changes):
    """A search of four settings, one after the other where nothing else is said; rungs at 100 and 400."""
    first = tuple(curve(n, lr).params for n, lr in enumerate(FIRST))
    known = {float(one.params["lr"]): one for one in curves or [curve(n, lr) for n, lr in enumerate(FIRST)]}
    config = settings(tmp_path, **{"trials": 4, "slots": 1, "first_trials": first, **changes})
    return replay(config, SPACE, lambda params: known[params["lr"]], utterances=utterances)


def told(searched):
    answers, _ = searched
    return [(answer.utterances, answer.curve.number) for answer in answers]


def test_without_a_pruner_every_trial_is_trained_to_its_end(tmp_path):
    """An answer is the trial that has been trained furthest, the best of those: one at every point of the first."""
    found = told(searched(tmp_path, pruner=Choice("none")))
    assert found == [(100, 0), (400, 0), (1600, 0), (3 * 1600, 2)]


def test_asha_stops_who_is_below_the_best_quarter_of_a_rung(tmp_path):
    """Settings 1 and 3 stop at 100 utterances: 1,600 of the first, 100, 1,600, 100."""
    found = searched(tmp_path)
    assert told(found) == [(100, 0), (400, 0), (1600, 0), (1600 + 100 + 1600, 2)]
    assert found[1] == 1600 + 100 + 1600 + 100


def test_trials_in_flight_share_the_time(tmp_path):
    """Two at once: each point comes after twice as many utterances, until one of them has ended."""
    found = told(searched(tmp_path, slots=2, pruner=Choice("none")))
    assert found == [(200, 0), (800, 0), (3200, 0), (6400, 2)]


def test_a_search_ends_at_its_utterances(tmp_path):
    assert told(searched(tmp_path, utterances=500, pruner=Choice("none"))) == [(100, 0), (400, 0), (1600, 0)]
    assert told(searched(tmp_path, utterances=400, pruner=Choice("none"))) == [(100, 0), (400, 0)]


def test_a_trial_that_diverged_stops_where_its_curve_ends(tmp_path):
    """The first at 400 utterances, the second at its first rung, below the first; the third has the rest."""
    whole = curve(0, 0.5)
    short = Curve(number=0, seed=0, params=whole.params, points=whole.points[:3], test=None)
    found = told(searched(tmp_path, curves=[short, *[curve(n, lr) for n, lr in enumerate(FIRST) if n]]))
    assert found == [(100, 0), (400 + 100 + 100, 2), (400 + 100 + 400, 2), (400 + 100 + 1600, 2)]


@pytest.mark.parametrize("name", ["tpe", "random", "cmaes", "qmc"])
def test_every_sampler_finds_good_settings_and_the_same_ones_again(tmp_path, name):
    lookup = Lookup(many(), SPACE)
    config = settings(tmp_path, trials=10**6, sampler=read_sampler(name), workers=2, slots=2)
    found = replay(config, SPACE, lookup.of, utterances=20 * BUDGET)
    assert told(found) == told(replay(config, SPACE, lookup.of, utterances=20 * BUDGET))
    assert found[0][-1].curve.end > 0.5
