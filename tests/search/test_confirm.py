"""Confirm runs: which are to be made, and which setting wins by their mean."""

from pathlib import Path

import pytest

from sp_search.search.confirm import confirm_number, pending_confirms, winner
from sp_search.search.study import PARAMS, best_trials, record_confirmed, trial_seed
from tests.search.searches import new_study, settings


@pytest.fixture
def study(tmp_path):
    study = new_study(tmp_path)
    for value in (0.9, 0.8, 0.7):
        trial = study.ask()
        trial.set_user_attr(PARAMS, {"lr": value})
        study.tell(trial, value)
    return study


def run_of(accuracy):
    return {"valid_accuracy": accuracy, "valid_loss": 1.0, "state": "somewhere"}


def test_the_best_settings_are_repeated_under_seeds_of_their_own(study):
    config = settings(Path("runs"), confirm_top=2, confirm_seeds=2)
    runs = pending_confirms(study, best_trials(study, 2), config)
    assert runs == [
        ("0:1", confirm_number(0, 1), {"lr": 0.9}, trial_seed(0, 0, 1)),
        ("0:2", confirm_number(0, 2), {"lr": 0.9}, trial_seed(0, 0, 2)),
        ("1:1", confirm_number(1, 1), {"lr": 0.8}, trial_seed(0, 1, 1)),
        ("1:2", confirm_number(1, 2), {"lr": 0.8}, trial_seed(0, 1, 2)),
    ]


def test_a_run_that_is_recorded_is_not_made_again(study):
    record_confirmed(study, "0:1", run_of(0.5))
    config = settings(Path("runs"), confirm_top=1, confirm_seeds=2)
    assert [key for key, *_ in pending_confirms(study, best_trials(study, 1), config)] == ["0:2"]


def test_the_best_mean_wins_over_the_best_single_run(study):
    for key, accuracy in {"0:1": 0.95, "0:2": 0.35, "1:1": 0.7, "1:2": 0.7}.items():
        record_confirmed(study, key, run_of(accuracy))
    config = settings(Path("runs"), confirm_top=2, confirm_seeds=2)
    best = winner(study, best_trials(study, 2), config)
    assert (best.trial.number, best.seeds) == (1, (trial_seed(0, 1, 1), trial_seed(0, 1, 2)))


def test_a_setting_with_a_run_missing_cannot_win(study):
    record_confirmed(study, "0:1", run_of(0.95))
    config = settings(Path("runs"), confirm_top=1, confirm_seeds=2)
    assert winner(study, best_trials(study, 1), config) is None
