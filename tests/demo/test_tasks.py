"""Every task of the demo, as its own settings have it, learns from a few utterances what its answers are."""

import pytest

from sp_search.cli.settings.compose import load_settings
from sp_search.cli.wiring.factories import recipe_of
from sp_search.config import Settings
from sp_search.engine.trial.hparams import parameter_limits
from sp_search.search.base.space import read_params, read_space
from sp_search.tasks.registry import TASKS

UTTERANCES = 1600


def first_trial(settings, layers):
    """What the search tries first, without what the space lacks, and with what it fixes."""
    space = read_space(settings.space, parameter_limits(4), layers)
    given = read_params(settings.schedule.first_trials[0], parameter_limits(4), layers)
    fixed = {r.name: r.values[0] for r in space.ranges if r.kind == "fixed"}
    return {name: value for name, value in given.items() if name in settings.space} | fixed


@pytest.mark.long
@pytest.mark.parametrize(
    "task", [task for name, task in TASKS.items() if name != "label"], ids=lambda task: task.name
)
def test_a_first_trial_of_the_demo_lowers_the_loss_of_its_task(task, tmp_path):
    small = ["schedule.valid_sample=64", "engine.threads=1", "engine.trunk_cache_gib=0.5"]
    settings = load_settings([f"task={task.name}", f"cache={tmp_path}", *small], Settings)
    trainer = recipe_of(settings)()
    trainer.add(0, first_trial(settings, layers=4), seed=0, budget=4 * UTTERANCES)
    metrics = []
    while not metrics or metrics[-1].utterances_seen < UTTERANCES:
        until = UTTERANCES if metrics else 1
        metrics += trainer.advance([0], {0: until}).values()
    first, last = (report.metrics for report in (metrics[0], metrics[-1]))
    assert set(last) >= {*(f"valid_{name}" for name in task.metrics), "valid_loss", "train_loss", "utterances_per_s"}
    assert last["valid_loss"] < 0.8 * first["valid_loss"]
