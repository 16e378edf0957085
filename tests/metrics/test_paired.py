import numpy as np
import pytest
from scipy.stats import bootstrap as scipys_bootstrap

from sp_search.metrics.paired import Difference, paired_difference
from sp_search.metrics.tally import Tally


def two_of_words(utterances, seed=0):
    """Words right of utterances of 1 to 20 words, of two answerers; what one finds hard the other does too."""
    draw = np.random.default_rng(seed)
    words = draw.integers(1, 21, utterances)
    ease = draw.random(utterances)
    return [
        Tally.of(list(zip(draw.binomial(words, ease**power).tolist(), words.tolist(), strict=True)))
        for power in (0.8, 1.0)
    ]


def test_the_interval_is_that_of_every_draw_written_out():
    ours, theirs = two_of_words(30)
    draws = np.random.default_rng(7)
    differences = []
    for _ in range(200):
        drawn = [int(i) for i in draws.integers(30, size=30)]
        mine, other = (
            sum(side.found[i] for i in drawn) / sum(side.total[i] for i in drawn) for side in (ours, theirs)
        )
        differences.append(mine - other)
    found = paired_difference(ours, theirs, level=0.9, draws=200, seed=7)
    assert found.value == pytest.approx(ours.value - theirs.value, abs=1e-12)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(differences, [0.05, 0.95])), abs=1e-12)


def test_the_interval_agrees_with_scipys_bootstrap_and_is_narrower_than_that_of_strangers():
    ours, theirs = two_of_words(400)

    def difference(found, total, other_found, other_total, axis):
        return found.sum(axis) / total.sum(axis) - other_found.sum(axis) / other_total.sum(axis)

    wanted = scipys_bootstrap(
        (ours.found, ours.total, theirs.found, theirs.total),
        difference,
        paired=True,
        vectorized=True,
        n_resamples=5000,
        method="percentile",
        rng=np.random.default_rng(1),
    ).confidence_interval
    found = paired_difference(ours, theirs, draws=5000)
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), abs=2e-3)
    widths = [high - low for low, high in (ours.interval(draws=5000), theirs.interval(draws=5000))]
    assert found.high - found.low < 0.7 * np.hypot(*widths)


def test_the_same_answers_differ_by_nothing():
    ours, _ = two_of_words(50)
    assert paired_difference(ours, ours) == Difference(0.0, 0.0, 0.0)


def test_draws_without_anything_to_measure_on_one_side_are_left_out():
    ours, theirs = Tally.of([(0, 0)] * 5 + [(1, 2)]), Tally.of([(1, 1)] * 6)
    assert paired_difference(ours, theirs, draws=100) == Difference(-0.5, -0.5, -0.5)


@pytest.mark.parametrize(
    ("difference", "said"),
    [
        (Difference(0.0214, 0.0101, 0.0328), "beats n-grams by 0.021 (0.010 to 0.033)"),
        (Difference(0.004, -0.006, 0.014), "is not told apart from n-grams: +0.004 (-0.006 to 0.014)"),
        (Difference(-0.004, -0.014, 0.0), "is not told apart from n-grams: -0.004 (-0.014 to 0.000)"),
        (Difference(-0.02, -0.03, -0.01), "is worse than n-grams by 0.020 (0.010 to 0.030)"),
    ],
)
def test_the_verdict_says_who_is_better_or_that_nobody_can_tell(difference, said):
    assert difference.verdict("n-grams") == said
