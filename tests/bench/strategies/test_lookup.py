"""The curve of a setting: its own, or that of one which is like it in what matters."""

import pytest

from sp_search.bench.strategies.lookup import Lookup
from tests.bench.strategies.made_up import SPACE, many


def test_a_recorded_setting_has_its_own_curve():
    curves = many()
    lookup = Lookup(curves, SPACE)
    assert [lookup.of(curve.params) for curve in curves] == curves


@pytest.mark.parametrize("lr", [0.02, 0.2, 0.7])
@pytest.mark.parametrize("noise", [0, 50, 100])
@pytest.mark.parametrize("kind", [{"kind": "plain"}, {"kind": "deep", "depth": 3}])
def test_another_has_that_of_one_alike_in_what_matters_whatever_the_rest(lr, noise, kind):
    found = Lookup(many(), SPACE).of({"lr": lr, "noise": noise, **kind})
    assert found.params["lr"] == pytest.approx(lr, rel=0.35)
