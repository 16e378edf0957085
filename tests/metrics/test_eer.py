import numpy as np
import pytest
from scipy.interpolate import interp1d
from scipy.optimize import brentq
from scipy.stats import bootstrap
from sklearn.metrics import roc_curve

from sp_search.errors import DataError
from sp_search.metrics.eer import eer, eer_interval, eer_with_interval


@pytest.mark.parametrize(
    ("wanted_scores", "other_scores", "rate"),
    [
        ([3, 4], [1, 2], 0),
        ([1, 2], [3, 4], 1),
        ([1, 1], [1, 1], 0.5),  # told apart by nothing
        ([2, 4, 5, 6], [0, 1, 3, 2.5], 1 / 4),  # at 2.7: one of four missed, one of four accepted
        ([1, 3], [0, 2], 0.5),  # at 2.5: one of two missed; at 1.5 one of two accepted
        ([5, 5, 5, 1], [0, 0, 0, 0, 4], 1 / 5),  # one of five accepted, whether one of four is missed or none
    ],
)
def test_the_rate_is_where_misses_and_false_alarms_are_as_many(wanted_scores, other_scores, rate):
    scores = np.array([*wanted_scores, *other_scores], dtype=float)
    wanted = np.arange(len(scores)) < len(wanted_scores)
    assert eer(scores, wanted) == pytest.approx(rate)


@pytest.mark.parametrize("seed", range(8))
def test_it_is_the_root_on_the_interpolated_curve(seed):
    """As speaker verification toolkits find it."""
    draw = np.random.default_rng(seed)
    wanted = draw.random(200) < 0.3
    scores = np.round(draw.normal(size=200) + wanted, 1 + seed % 2)  # with ties
    accepted, found, _ = roc_curve(wanted, scores)
    root = brentq(lambda x: 1 - x - interp1d(accepted, found)(x), 0.0, 1.0, xtol=1e-13)
    assert eer(scores, wanted) == pytest.approx(root, abs=1e-9)


def test_its_interval_agrees_with_scipys_bootstrap():
    draw = np.random.default_rng(0)
    wanted = draw.random(150) < 0.4
    scores = draw.normal(size=150) + wanted
    theirs = bootstrap(
        (scores, wanted), eer, paired=True, vectorized=False, n_resamples=400, method="percentile", rng=draw
    ).confidence_interval
    assert eer_interval(scores, wanted, draws=400) == pytest.approx((theirs.low, theirs.high), abs=0.02)
    assert theirs.high - theirs.low > 0.1


def test_draws_of_one_kind_are_left_out_of_the_interval():
    scores, wanted = np.array([1.0, 2.0, 0.0]), np.array([True, True, False])
    assert eer_interval(scores, wanted, draws=50) == (0.0, 0.0)


def test_only_the_order_of_scores_counts():
    draw = np.random.default_rng(0)
    scores, wanted = draw.normal(size=50), draw.random(50) < 0.5
    assert eer(scores, wanted) == eer(np.exp(scores), wanted) == pytest.approx(1 - eer(-scores, wanted))


@pytest.mark.parametrize("measure", [eer, eer_interval])
@pytest.mark.parametrize("wanted", [[True, True], [False, False]])
def test_answers_of_one_kind_are_refused(measure, wanted):
    with pytest.raises(DataError, match=rf"expected answers of both kinds, got {sum(wanted)} wanted of 2$"):
        measure(np.array([0.0, 1.0]), np.array(wanted))


def test_a_json_has_the_rate_with_its_interval_or_none_where_all_are_of_a_kind():
    scores, wanted = np.array([0.1, 0.4, 0.3, 0.9]), np.array([False, False, True, True])
    assert eer_with_interval(scores, wanted) == {
        "eer": eer(scores, wanted),
        "eer_interval": eer_interval(scores, wanted),
    }
    for same in (~wanted | wanted, wanted & ~wanted):
        assert eer_with_interval(scores, same) == {"eer": None, "eer_interval": None}
