"""Every sampler by its name: draws in the space, the same ones after a restart, and refusals in one line."""

import hashlib
import struct

import optuna
import pytest

from sp_search.errors import ConfigError
from sp_search.search.study.sampler import DRAW, SAMPLERS, read_sampler, sampler, trial_seed


def drawn(choice, seed, counts):
    """Parameters of successive trials; the study is opened anew behind each count."""
    storage, found = optuna.storages.InMemoryStorage(), []
    for count in counts:
        study = optuna.create_study(storage=storage, study_name="s", direction="maximize", load_if_exists=True)
        for _ in range(count):
            study.sampler = sampler(choice, seed, len(study.trials))
            trial = study.ask()
            x, kind = trial.suggest_float("x", 0.001, 1.0, log=True), trial.suggest_categorical("kind", ["a", "b"])
            y = trial.suggest_int("y", 1, 9) if kind == "a" else 5
            study.tell(trial, -((x - 0.1) ** 2) - (y - 3) ** 2)
            found.append((x, kind, y))
    return found


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning", "ignore:Relative sampling:UserWarning")
def test_a_sampler_draws_the_same_after_a_restart_and_other_settings_by_another_seed(name):
    choice = read_sampler(name)
    whole = drawn(choice, 0, [14])
    assert drawn(choice, 0, [5, 9]) == whole
    assert drawn(choice, 1, [14]) != whole
    assert len(set(whole)) > 7
    assert all(0.001 <= x <= 1 and 1 <= y <= 9 for x, _, y in whole)


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning", "ignore:Relative sampling:UserWarning")
def test_qmc_draws_one_sequence_under_the_study_s_seed_as_optuna_does():
    study = optuna.create_study(sampler=optuna.samplers.QMCSampler(seed=7, scramble=True))
    wanted = [study.ask({"x": optuna.distributions.FloatDistribution(0, 1)}) for _ in range(6)]
    ours = optuna.create_study()
    found = []
    for number in range(6):
        ours.sampler = sampler(read_sampler("qmc"), 7, number)
        found.append(ours.ask({"x": optuna.distributions.FloatDistribution(0, 1)}))
    assert [trial.params for trial in found[1:]] == [trial.params for trial in wanted[1:]]  # the first is drawn alone


def test_a_trial_is_drawn_under_a_seed_of_its_own_that_none_of_its_runs_has():
    x = {"x": optuna.distributions.FloatDistribution(0, 1)}
    alone = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=trial_seed(3, 5, DRAW)))
    ours = optuna.create_study(sampler=sampler(read_sampler("random"), 3, 5))
    assert ours.ask(x).params == alone.ask(x).params
    assert len({trial_seed(3, 5, repeat) for repeat in (DRAW, 0, 1, 2)}) == 4


@pytest.mark.parametrize(("study_seed", "number", "repeat"), [(0, 0, 0), (3, 12, 2), (5, 1, DRAW), (10**12, 7, 1)])
def test_a_trial_s_seed_is_the_first_31_bits_of_a_hash_of_its_numbers(study_seed, number, repeat):
    digest = hashlib.sha256(f"{study_seed} {number} {repeat}".encode()).digest()
    assert trial_seed(study_seed, number, repeat) == struct.unpack("<I", digest[:4])[0] // 2
    assert trial_seed(study_seed, number) == trial_seed(study_seed, number, 0)


def test_settings_go_to_optunas_sampler():
    made = sampler(read_sampler({"name": "tpe", "n_startup_trials": 3}), 0, 0)
    assert isinstance(made, optuna.samplers.TPESampler)
    assert made._n_startup_trials == 3
    assert made._group is True  # a default that stays


def test_no_draws_first_and_whole_numbers_for_others_are_taken():
    assert read_sampler({"name": "tpe", "n_startup_trials": 0}).settings["n_startup_trials"] == 0
    assert read_sampler({"name": "cmaes", "sigma0": 1}).settings["sigma0"] == 1
    assert read_sampler({"name": "cmaes", "sigma0": None}).settings["sigma0"] is None


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"name": "cmaes", "sigma0": "wide"}, "schedule.sampler.sigma0: expected a number, got 'wide'"),
        (
            {"name": "qmc", "type": "halton"},
            r"schedule.sampler.type: expected one of qmc_type, scramble, warn_\w+, warn_\w+ with qmc, got type",
        ),
        (
            "bayes",
            "schedule.sampler: expected tpe, gp, cmaes, random, qmc, or a mapping with such a name, got 'bayes'",
        ),
        (None, "schedule.sampler: expected tpe, .* such a name, got none"),
        (
            {"name": "random", "n_startup_trials": 3},
            "schedule.sampler.n_startup_trials: expected one of no settings .*",
        ),
        (
            {"name": "tpe", "startup": 3},
            "schedule.sampler.startup: expected one of .*n_ei_candidates.* with tpe.*",
        ),
        ({"name": "qmc", "qmc_type": "fibonacci"}, "schedule.sampler: expected settings that Optuna takes, got .*"),
        (
            {"name": "tpe", "n_startup_trials": "many", "multivariate": 5},
            "schedule.sampler.n_startup_trials: expected a whole number, got 'many'; "
            "schedule.sampler.multivariate: expected true or false, got 5",
        ),
        ({"name": "tpe", "n_startup_trials": -1}, "schedule.sampler.n_startup_trials: expected 0 or more, got -1"),
        ({"name": "tpe", "n_startup_trials": True}, "schedule.sampler.n_startup_trials: expected a whole .* True"),
        ({"name": "tpe", "gamma": 3}, "schedule.sampler.gamma: expected one of .*, got gamma"),
        ({"name": "tpe", "n_ei_candidates": 0}, "schedule.sampler: expected settings that Optuna takes, got .*"),
        ({"name": "gp", "independent_sampler": "tpe"}, "schedule.sampler.independent_sampler: expected one of .*"),
        ({"name": "cmaes", "popsize": 0}, "schedule.sampler: expected settings that Optuna takes, got .*"),
    ],
)
def test_anything_else_is_refused(value, message):
    with pytest.raises(ConfigError, match=f"^{message}$"):
        read_sampler(value)
