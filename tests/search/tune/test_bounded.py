"""A sampler that sees some trials, against Optuna's own on a study that has only these."""

import optuna
import pytest

from sp_search.search.base.choices import Choice
from sp_search.search.study.sampler import DEFAULTS, sampler
from sp_search.search.tune.bounded import BoundedSampler


def propose(study):
    trial = study.ask()
    depth = trial.suggest_categorical("depth", ["layers", "embedding"])
    drawn = {"depth": depth, "lr": trial.suggest_float("lr", 1e-3, 1.0, log=True)}
    if depth == "layers":
        drawn["length"] = trial.suggest_int("length", 1, 50)
    return trial, drawn


def study_of(count, seed=0):
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=seed))
    for number in range(count):
        trial, drawn = propose(study)
        if number < count - 2:  # the last two still run
            study.tell(trial, -abs(drawn["lr"] - 0.1))
    return study


@pytest.mark.parametrize("name", ["tpe", "gp"])
def test_a_proposal_is_that_of_a_study_which_has_only_the_trials_that_are_seen(name):
    whole, part = study_of(60), optuna.create_study(direction="maximize")
    seen = whole.trials[20:]
    part.add_trials(seen)
    inner = sampler(Choice(name, DEFAULTS[name]), 3, 60)
    whole.sampler = BoundedSampler(inner, seen)
    part.sampler = sampler(Choice(name, DEFAULTS[name]), 3, 60)
    assert propose(whole)[1] == propose(part)[1]


def test_a_sampler_never_sees_another_trial():
    whole = study_of(60)
    whole.sampler = BoundedSampler(sampler(Choice("tpe", DEFAULTS["tpe"]), 3, 60), [])
    fresh = optuna.create_study(direction="maximize", sampler=sampler(Choice("tpe", DEFAULTS["tpe"]), 3, 60))
    assert propose(whole)[1] == propose(fresh)[1]
