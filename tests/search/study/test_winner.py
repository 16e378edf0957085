"""Which setting wins by the mean of its confirm runs."""

from pathlib import Path

import pytest

from sp_search.search.study.trials import best_trials, record_confirmed
from sp_search.search.study.winner import winner
from tests.search.searches import run_of, settings, study_of_three


@pytest.fixture
def study(tmp_path):
    return study_of_three(tmp_path)


def test_the_best_mean_wins_over_the_best_single_run(study):
    for key, accuracy in {"0:1": 0.95, "0:2": 0.35, "1:1": 0.7, "1:2": 0.7}.items():
        record_confirmed(study, key, run_of(accuracy, seed=int(key.replace(":", ""))))
    config = settings(Path("runs"), confirm_top=2, confirm_seeds=2)
    best = winner(study, best_trials(study, 2), config)
    assert (best.trial.number, best.repeats, best.seeds) == (1, (1, 2), (11, 12)), "the seeds that were run"


def test_a_setting_with_a_run_missing_cannot_win(study):
    record_confirmed(study, "0:1", run_of(0.95))
    config = settings(Path("runs"), confirm_top=1, confirm_seeds=2)
    assert winner(study, best_trials(study, 1), config) is None
