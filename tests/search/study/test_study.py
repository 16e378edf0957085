"""The study: what it is about, how trials left by a killed search end, which are best."""

import dataclasses

import optuna
import pytest
from optuna.trial import TrialState

from sp_search.errors import StudyError
from sp_search.search.study.study import (
    PARAMS,
    REASON,
    SEED,
    STOPPED,
    StudyIdentity,
    best_trials,
    counts,
    open_study,
    past_trials,
    reconcile,
    record_confirmed,
    trial_seed,
    trials_to_confirm,
    twin,
)

ABOUT = StudyIdentity("intent", "demo", "lm-print", "demo", "data-print")


def opened(folder, identity=ABOUT, name="s"):
    return open_study(name, None, folder, identity, seed=0)


def add(study, value=None, state=TrialState.COMPLETE, params=None, reports=None, reason=""):
    trial = study.ask()
    trial.set_user_attr(PARAMS, params or {"n": trial.number})
    trial.set_user_attr(SEED, 1)
    trial.set_user_attr(REASON, reason)
    for seen, reported in (reports or {}).items():
        trial.report(reported, seen)
    if state != TrialState.RUNNING:
        study.tell(trial, value, state=state)
    return trial.number


def test_a_study_opened_again_has_its_trials(tmp_path):
    add(opened(tmp_path), 0.5, reports={100: 0.2, 200: 0.5})
    (past,) = past_trials(opened(tmp_path))
    assert (past.number, past.reports) == (0, {100: 0.2, 200: 0.5})


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"data_fingerprint": "other"}, "study s: expected its data fingerprint data-print, got other; name"),
        ({"lm_fingerprint": "other"}, "study s: expected its lm fingerprint lm-print, got other"),
        ({"task": "keyword"}, "study s: expected its task intent, got keyword"),
    ],
)  # fmt: skip
def test_a_study_of_that_name_about_something_else_is_refused(tmp_path, change, fault):
    opened(tmp_path)
    with pytest.raises(StudyError, match=fault):
        opened(tmp_path, dataclasses.replace(ABOUT, **change))


def test_a_study_moved_to_another_path_is_the_same_study(tmp_path):
    add(opened(tmp_path), 0.5)
    study = opened(tmp_path, dataclasses.replace(ABOUT, data="elsewhere", lm="elsewhere"))
    assert counts(study) == {"complete": 1, "pruned": 0, "failed": 0}


def test_running_trials_without_a_saved_state_fail_and_the_others_go_on(tmp_path):
    study = opened(tmp_path)
    kept, lost, ended = add(study, state=TrialState.RUNNING), add(study, state=TrialState.RUNNING), add(study, 0.1)
    assert [trial.number for trial in reconcile(study, has_state=[kept, ended])] == [kept]
    assert [trial.state for trial in study.trials] == [TrialState.RUNNING, TrialState.FAIL, TrialState.COMPLETE]
    assert lost == 1


def test_a_twin_is_a_finished_trial_of_the_same_settings(tmp_path):
    study = opened(tmp_path)
    add(study, state=TrialState.RUNNING, params={"lr": 0.3})
    add(study, 0.1, params={"lr": 0.1})
    add(study, state=TrialState.PRUNED, params={"lr": 0.2}, reports={100: 0.1})
    assert twin(study, {"lr": 0.2}).number == 2
    assert twin(study, {"lr": 0.3}) is None


def test_the_best_are_those_of_full_budget_each_setting_once(tmp_path):
    study = opened(tmp_path)
    add(study, 0.5, params={"lr": 1})
    add(study, 0.9, params={"lr": 2})
    add(study, 0.8, params={"lr": 2})
    add(study, 0.7, params={"lr": 3})
    add(study, state=TrialState.PRUNED, reports={100: 0.99})
    assert [trial.number for trial in best_trials(study, 2)] == [1, 3]


def test_what_asha_stopped_last_is_confirmed_where_too_few_reached_the_full_budget(tmp_path):
    study = opened(tmp_path)
    add(study, 0.5, params={"lr": 1})
    for number, (reports, reason) in enumerate(
        [
            ({100: 0.9}, STOPPED),
            ({100: 0.2, 400: 0.3}, STOPPED),
            ({100: 0.1, 400: 0.4}, STOPPED),
            ({100: 0.7, 800: 0.9}, "training loss is nan"),
        ],
        start=2,
    ):
        add(study, state=TrialState.PRUNED, params={"lr": number}, reports=reports, reason=reason)
    assert [trial.number for trial in trials_to_confirm(study, 1)] == [0]
    assert [trial.number for trial in trials_to_confirm(study, 3)] == [0, 3, 2]
    assert [trial.number for trial in trials_to_confirm(study, 9)] == [0, 3, 2, 1]


def test_a_study_without_a_full_trial_has_no_best_and_says_what_to_do(tmp_path):
    study = opened(tmp_path)
    add(study, state=TrialState.PRUNED, reports={100: 0.99})
    with pytest.raises(StudyError, match="study s: expected a trial that reached its full budget, found none; raise"):
        best_trials(study, 3)


def test_confirm_runs_are_kept_one_by_one(tmp_path):
    record_confirmed(opened(tmp_path), "3:1", {"valid_accuracy": 0.5})
    record_confirmed(opened(tmp_path), "3:2", {"valid_accuracy": 0.6})
    assert opened(tmp_path).user_attrs["confirmed"] == {
        "3:1": {"valid_accuracy": 0.5}, "3:2": {"valid_accuracy": 0.6},
    }  # fmt: skip


def test_every_trial_and_repeat_of_every_study_has_its_own_seed():
    seeds = {trial_seed(study, number, repeat) for study in range(3) for number in range(50) for repeat in range(4)}
    assert len(seeds) == 3 * 50 * 4
    assert trial_seed(1, 2, 3) == trial_seed(1, 2, 3)


def test_a_continued_study_draws_other_settings_than_it_began_with(tmp_path):
    def draw(study):
        trial = study.ask()
        value = trial.suggest_float("lr", 0.0, 1.0)
        study.tell(trial, value)
        return value

    first = [draw(opened(tmp_path)) for _ in range(4)]
    assert len(set(first)) == 4
    assert optuna.logging.get_verbosity() == optuna.logging.WARNING
