"""Curves of a made-up space: `lr` decides how high one rises, `noise` nothing."""

from sp_search.bench.strategies.curves import Curve
from sp_search.bench.strategies.recording import points_of
from sp_search.prompts.limits import Limits
from sp_search.search.base.space import read_space

BUDGET = 1600
RAW = {
    "lr": {"float": [0.01, 1.0], "log": True},
    "noise": {"int": [0, 100]},
    "kind": {"choice": ["plain", "deep"]},
    "depth": {"int": [1, 4], "when": {"kind": "deep"}},
}
LIMITS = {"lr": Limits(float), "noise": Limits(int), "kind": Limits(str), "depth": Limits(int)}
SPACE = read_space(RAW, LIMITS, layers=4)


def curve(number, lr, noise=0, kind="plain", **more):
    """It rises to the value of lr in a straight line, and has half of that on test."""
    points = tuple((point, lr * point / BUDGET) for point in points_of(BUDGET))
    params = {"lr": lr, "noise": noise, "kind": kind, **more}
    return Curve(number=number, seed=number, params=params, points=points, test=lr / 2)


def many(count=60):
    """Settings all over the space."""
    kinds = [{"kind": "plain"}, {"kind": "deep", "depth": 2}]
    return [curve(n, 0.01 * 100 ** ((n * 37 % count) / count), (n * 53) % 101, **kinds[n % 2]) for n in range(count)]
