"""What searches come to over seeds, by hand."""

import numpy as np
import pytest

from sp_search.bench.strategies.replay import Answer
from sp_search.bench.strategies.table import Course, course_of, courses
from tests.bench.strategies.made_up import BUDGET, SPACE, curve, many
from tests.search.searches import settings


def test_regret_is_the_distance_to_the_best_curve_at_each_moment():
    low, high = curve(0, 0.25), curve(1, 0.75)
    answers = [([Answer(100, low), Answer(400, high)], 400.0), ([Answer(200, high)], 350.0)]
    found = course_of(answers, best=1.0, utterances=[50, 100, 300, 400])
    np.testing.assert_allclose(found.regret, [[0.75, 0.75, 0.75, 0.25], [0.25] * 4])
    np.testing.assert_allclose(found.spent, [400, 350])
    np.testing.assert_allclose(found.test, [[0.125, 0.125, 0.125, 0.375], [0.375] * 4])


def test_a_regret_is_reached_where_it_is_not_exceeded_again():
    found = Course(np.array([1.0, 2.0, 3.0, 4.0]), np.array([[0.5, 0.2, 0.3, 0.1]]), np.zeros((1, 4)), np.zeros(1))
    assert [found.reaches(regret) for regret in (0.5, 0.3, 0.2, 0.05)] == [1.0, 2.0, 4.0, None]


def test_the_interval_of_a_mean_holds_it_and_is_that_of_the_means_of_draws():
    column = np.random.default_rng(0).normal(0.3, 0.1, size=(50, 1))
    low, high = Course(np.ones(1), column, column, np.ones(50)).interval(column)
    assert low < column.mean() < high
    assert high - low == pytest.approx(2 * 1.96 * column.std() / np.sqrt(50), rel=0.1)


def test_each_way_has_a_course_over_its_seeds(tmp_path):
    ways = {name: [settings(tmp_path, trials=10**6, seed=seed, **more) for seed in range(3)]
            for name, more in {"two": {"slots": 2}, "one": {"slots": 1}}.items()}  # fmt: skip
    found = dict(courses(ways, SPACE, many(), utterances=[BUDGET, 8 * BUDGET], processes=1))
    assert list(found) == ["two", "one"]
    for course in found.values():
        assert course.regret.shape == (3, 2)
        assert (course.regret[:, 1] <= course.regret[:, 0] + 1e-12).all()
        assert course.regret.min() >= 0
