"""The best of an earlier study as first trials of a new one, with real Optuna studies."""

import pytest
from optuna.trial import TrialState

from sp_search.errors import StudyError
from sp_search.prompts.limits import Limits
from sp_search.search.base.space import read_space
from sp_search.search.study.study import load_study, open_study
from sp_search.search.study.trials import PARAMS, record_run
from sp_search.search.study.warm_start import MOST, fitting, warm_trials
from tests.search.searches import IDENTITY, new_study, run_of

KINDS = {"lr": float, "depth": int, "kind": str, "seed": int, "side": str, "score": bool}
LIMITS = {name: Limits(kind) for name, kind in KINDS.items()}
SPACE = {
    "side": "top",
    "depth": {"int": [1, 4]},
    "kind": {"choice": ["linear", "random"]},
    "seed": {"int": [0, 9], "when": {"kind": "random"}},
    "lr": {"float": [0.1, 0.9], "log": True},
}


def space(raw=None):
    return read_space(raw or SPACE, LIMITS, layers=4)


def earlier(runs, *trials, name="old"):
    """A study of complete trials, each given as (value, params)."""
    opened = open_study(name, None, runs / name, IDENTITY, {"seed": 0})
    opened.close()
    study = opened.study
    for value, params in trials:
        trial = study.ask()
        trial.set_user_attr(PARAMS, params)
        study.tell(trial, value)
    return study


def taken(study, told=None, raw=None):
    return warm_trials(study, "valid_accuracy", space(raw), ([] if told is None else told).append)


def lrs(trials):
    return [trial["lr"] for trial in trials]


def test_the_best_trials_come_first_and_no_setting_twice(tmp_path):
    study = earlier(tmp_path, (0.5, {"lr": 0.2}), (0.9, {"lr": 0.3}), (0.7, {"lr": 0.4}), (0.6, {"lr": 0.3}))
    assert taken(study) == ({"lr": 0.3}, {"lr": 0.4}, {"lr": 0.2})


def test_confirmed_settings_come_before_others_by_the_mean_over_their_runs(tmp_path):
    study = earlier(tmp_path, *((value, {"lr": value}) for value in (0.9, 0.8, 0.7, 0.6)))
    for key, accuracy in {"0:1": 0.5, "0:2": 0.6, "1:1": 0.7, "1:2": 0.2, "2:1": 0.61, "2:2": 0.6}.items():
        record_run(study, "confirm", key, run_of(accuracy))
    assert lrs(taken(study)) == [0.7, 0.9, 0.8, 0.6]


@pytest.mark.parametrize("complete", [(), ((0.9, {"lr": 0.3}),)])
def test_a_confirmed_winner_that_did_not_reach_its_full_budget_comes_first(tmp_path, complete):
    study = earlier(tmp_path, *complete)
    stopped = study.ask()
    stopped.set_user_attr(PARAMS, {"lr": 0.4})
    stopped.report(0.8, 400)
    study.tell(stopped, state=TrialState.PRUNED)
    record_run(study, "confirm", f"{stopped.number}:1", run_of(0.95))
    assert lrs(taken(study)) == [0.4, *(params["lr"] for _, params in complete)]


def test_at_most_five_are_taken_of_those_that_fit(tmp_path):
    values = [0.05, *(0.1 + i / 100 for i in range(8))]
    study = earlier(tmp_path, *((1 - value, {"lr": value}) for value in values))
    assert lrs(taken(study)) == values[1 : 1 + MOST]


def test_what_the_space_lacks_or_fixes_is_passed_over(tmp_path):
    params = {"lr": 0.2, "side": "bottom", "score": True, "kind": "linear", "seed": 77}
    assert taken(earlier(tmp_path, (0.5, params))) == ({"kind": "linear", "lr": 0.2},)


@pytest.mark.parametrize(
    ("params", "given", "faults"),
    [
        ({"depth": 5}, {"depth": 5}, ["depth 5 is not 1 to 4"]),
        ({"depth": True}, {"depth": True}, ["depth True is not 1 to 4"]),
        ({"lr": 1.0, "kind": "kmeans"}, {"kind": "kmeans", "lr": 1.0},
         ["kind kmeans is not linear or random", "lr 1.0 is not 0.1 to 0.9, log"]),
        ({"kind": "random", "seed": 10}, {"kind": "random", "seed": 10}, ["seed 10 is not 0 to 9"]),
        ({"seed": 3}, {"seed": 3}, []),
        ({"lr": 0.9, "depth": 1}, {"depth": 1, "lr": 0.9}, []),
    ],
)  # fmt: skip
def test_a_value_that_the_space_never_draws_is_a_fault(params, given, faults):
    assert fitting(space(), params) == (given, faults)


def test_a_setting_out_of_range_is_told_in_a_line_and_left_out(tmp_path):
    told = []
    study = earlier(tmp_path, (0.9, {"lr": 2.0}), (0.8, {"lr": 0.2}))
    assert taken(study, told) == ({"lr": 0.2},)
    assert told == ["warm start: trial 0 of old is left out: lr 2.0 is not 0.1 to 0.9, log"]


def test_it_is_told_when_nothing_fits(tmp_path):
    told = []
    assert taken(earlier(tmp_path, (0.9, {"score": True})), told) == ()
    assert told == ["warm start: no setting of old fits this space; all trials are drawn"]


def test_a_study_without_a_trial_of_full_budget_has_nothing_to_give(tmp_path):
    with pytest.raises(StudyError, match="study old: expected a trial that reached its full budget, found none"):
        taken(earlier(tmp_path))


def test_a_study_that_is_not_there_is_refused_and_nothing_is_made(tmp_path):
    with pytest.raises(StudyError, match=r"^study gone: expected a study in .*/gone, found none$"):
        load_study("gone", None, tmp_path / "gone")
    assert not (tmp_path / "gone").exists()


def test_a_new_study_tries_them_and_draws_what_they_leave_out(tmp_path):
    earlier(tmp_path, (0.9, {"kind": "random", "seed": 7, "lr": 0.25}), (0.8, {"lr": 0.5, "depth": 2}))
    study = new_study(tmp_path)
    for given in taken(load_study("old", None, tmp_path / "old")):
        study.enqueue_trial(dict(given))
    first, second = (space().suggest(study.ask()) for _ in range(2))
    assert first == first | {"kind": "random", "seed": 7, "lr": 0.25, "side": "top"}
    assert second == second | {"lr": 0.5, "depth": 2, "side": "top"}
    assert 1 <= first["depth"] <= 4
    assert second["kind"] in ("linear", "random")
