"""What a search exports and says of it, where valid and test would choose otherwise."""

import numpy as np
import optuna
import pytest

from sp_search.metrics.tally import Tally
from sp_search.search.run.answers import Measured
from sp_search.search.run.finished import BY_CHOICE, Finished
from sp_search.search.study.trials import PARAMS
from sp_search.types import Member


def measured(tmp_path, *, seed, test):
    """An answer whose interval is that of nobody else."""
    member = Member(share=1.0, trial=3, seed=seed, params={"lr": 0.1}, budget=64, state=tmp_path)
    return Measured(
        members=(member,),
        metrics={"valid": {"accuracy": 0.5}, "test": {"accuracy": test}},
        intervals={"accuracy": (test - 0.01 * (seed + 1), test + 0.02)},
        tally=Tally(np.ones(2), np.ones(2)),
        facts={"method": "prompt", "trained_parameters": 7, "stored_bytes": 28},
        train_s=1.0,
        utterances_per_s=10.0,
        answers=[],
    )


@pytest.fixture
def finished(tmp_path):
    """The later an answer comes in the order of choice, the better it is on test; so are the seeds' runs."""
    trial = optuna.trial.create_trial(value=0.5, user_attrs={PARAMS: {"lr": 0.1}})
    answers = {name: measured(tmp_path, seed=at, test=0.6 + 0.1 * at) for at, name in enumerate(BY_CHOICE)}
    return Finished(trial, answers, [measured(tmp_path, seed=10 + at, test=0.9 + 0.01 * at) for at in range(3)])


@pytest.mark.parametrize("there", [BY_CHOICE[at:] for at in range(len(BY_CHOICE))], ids=lambda names: names[0])
def test_what_is_exported_follows_the_order_of_choice_whatever_test_says(finished, there):
    finished = Finished(finished.winner, {name: finished.answers[name] for name in reversed(there)}, finished.seeds)
    assert finished.best is finished.answers[there[0]]


def test_the_summary_has_the_interval_of_what_is_exported_and_the_mean_of_the_seeds(finished):
    best = finished.to_json()["best"]
    assert best["intervals"] == {"accuracy": finished.answers["smallest"].intervals["accuracy"]}
    assert best["test"] == {"accuracy": 0.6}
    assert best["seeds"] == [10, 11, 12]
    assert finished.to_json()["setting"]["test"] == {"accuracy": pytest.approx(0.91)}
