"""A study at its end, for tests of what it leaves."""

from types import SimpleNamespace

import pytest

from sp_search.search.run.answers import trained_states
from sp_search.search.study.trials import best_trials, record_run
from tests.search.run.answer_worker import RUNS
from tests.search.searches import run_of, settings, study_of_three


@pytest.fixture
def ended(tmp_path):
    """A study at its end, with its settings, the winner and its states."""
    study = study_of_three(tmp_path)
    config = settings(tmp_path, confirm_seeds=1, final_seeds=2, most_members=4)
    for key, value in {"0:1": 0.72, "1:1": 0.75}.items():
        record_run(study, "confirm", key, run_of(value))
    for key, value in {"0:1": 0.8, "0:2": 0.9}.items():
        record_run(study, "final", key, run_of(value))
    for number in RUNS:
        (config.trial_folder(number)).mkdir(parents=True)
        (config.trial_folder(number) / "state.pt").touch()
    winner = best_trials(study, 1)[0]
    return SimpleNamespace(study=study, config=config, winner=winner, states=trained_states(study, winner, config))
