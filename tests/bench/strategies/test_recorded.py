"""The recorded curves of the package: whole, of the demo, and enough for a comparison."""

import pytest

from sp_search.bench.strategies.curves import by_setting, read_curves
from sp_search.bench.strategies.recording import points_of
from sp_search.cli.commands.bench_strategies import RECORDED
from sp_search.engine.trial.hparams import parameter_limits
from sp_search.search.base.space import read_space


@pytest.mark.parametrize("task", ["intent", "keyword"])
def test_the_package_has_150_settings_of_a_task_and_those_chosen_by_hand(task):
    about, curves = read_curves(RECORDED / f"{task}.jsonl.xz")
    assert (about.task, about.data, about.lm) == (task, "demo", "demo")
    settings = by_setting(curves)
    assert sum(number >= 0 for number in settings) == 150
    assert sum(number < 0 for number in settings) == 3
    space = read_space(about.space, parameter_limits(about.layers), about.layers)
    for curve in curves:
        assert len(curve.points) == len(points_of(about.budget))
        assert {r.name for r in space.ranges if r.applies(curve.params)} == set(curve.params)
