import math

import numpy as np
import pytest
from scipy.stats import bootstrap as scipys_bootstrap

from sp_search.errors import DataError
from sp_search.metrics import bootstrap
from sp_search.metrics.tally import Tally


def errors_of_words(utterances, seed=0):
    """Word errors of utterances of 1 to 20 words, about a third of the words."""
    draw = np.random.default_rng(seed)
    words = draw.integers(1, 21, utterances)
    return Tally.of(list(zip(draw.binomial(words, 1 / 3).tolist(), words.tolist(), strict=True)))


def test_the_value_is_the_ratio_of_the_sums_not_the_mean_of_ratios():
    assert Tally.of([(1, 1), (0, 3)]).value == 1 / 4


def test_an_utterance_may_weigh_nothing():
    assert Tally.of([(2, 0), (1, 4)]).value == 3 / 4


@pytest.mark.parametrize("pairs", [[], [(1, 0), (0, 0)]])
def test_nothing_to_measure_is_refused(pairs):
    with pytest.raises(
        DataError, match=f"^metric: expected something to measure in {len(pairs)} utterances, found nothing$"
    ):
        Tally.of(pairs)


def test_the_interval_is_that_of_every_draw_written_out():
    measured, draws = errors_of_words(30), np.random.default_rng(7)
    ratios = []
    for _ in range(200):
        drawn = [int(i) for i in draws.integers(30, size=30)]
        ratios.append(sum(measured.found[i] for i in drawn) / sum(measured.total[i] for i in drawn))
    expected = np.quantile(ratios, [0.05, 0.95])
    assert measured.interval(level=0.9, draws=200, seed=7) == pytest.approx(tuple(expected), abs=1e-12)


def test_the_interval_agrees_with_scipys_bootstrap():
    measured = errors_of_words(400)
    theirs = scipys_bootstrap(
        (measured.found, measured.total),
        lambda found, total, axis: found.sum(axis) / total.sum(axis),
        paired=True,
        vectorized=True,
        n_resamples=5000,
        method="percentile",
        rng=np.random.default_rng(1),
    ).confidence_interval
    assert measured.interval(draws=5000) == pytest.approx((theirs.low, theirs.high), abs=1.5e-3)
    assert theirs.high - theirs.low > 0.02


def test_the_interval_of_a_share_is_the_normal_one_for_many_utterances():
    half_width = 1.96 * math.sqrt(0.8 * 0.2 / 2000)
    low, high = Tally.of([(1, 1)] * 1600 + [(0, 1)] * 400).interval(draws=5000)
    assert (low, high) == pytest.approx((0.8 - half_width, 0.8 + half_width), abs=2e-3)


def test_found_and_total_of_an_utterance_stay_together():
    """One word in four is wrong in each: whichever are drawn, the ratio is the same."""
    assert Tally.of([(words, 4 * words) for words in range(1, 50)]).interval() == (0.25, 0.25)


def test_a_wider_level_holds_a_narrower_one():
    measured = errors_of_words(50)
    (low, high), (lowest, highest) = measured.interval(level=0.5), measured.interval(level=0.99)
    assert lowest < low < measured.value < high < highest


def test_the_seed_settles_the_interval():
    measured = errors_of_words(50)
    assert measured.interval(seed=3) == measured.interval(seed=3) != measured.interval(seed=4)


def test_draws_without_anything_to_measure_are_left_out():
    low, high = Tally.of([(0, 0)] * 5 + [(1, 2)]).interval(draws=100)
    assert (low, high) == (0.5, 0.5)


def test_draws_in_portions_are_the_same_draws(monkeypatch):
    """As for a large corpus: 7 at once, and 4 in the end."""
    measured = errors_of_words(30)
    at_once = measured.interval(draws=200)
    monkeypatch.setattr(bootstrap, "_AT_ONCE", 7 * 30 + 5)
    assert measured.interval(draws=200) == at_once
