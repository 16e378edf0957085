"""The test split is read once, by every confirm seed of the winner; the best seed on valid is exported."""

from pathlib import Path

import pytest
import ray

from sp_search.search.run.confirm import confirm_number
from sp_search.search.run.search import FINISHED, _on_test, finished_as, is_finished
from sp_search.search.study.trials import best_trials, record_confirmed
from sp_search.search.study.winner import winner
from tests.search.searches import new_study, run_of, settings, study_of_three

VALID = {1: 0.70, 2: 0.90, 3: 0.80}
TEST = {1: 0.95, 2: 0.85, 3: 0.60}  # the best on test is not the best on valid, nor is the worst


class Workers:
    """Two workers that know what each run has on test, and what they were asked."""

    def __init__(self):
        self.asked = []
        self.evaluate = self

    def remote(self, request, split):
        self.asked.append((request, split))
        repeat = int(Path(request.folder).name) % 1000
        value = TEST[repeat]
        measured = {
            "metrics": {"accuracy": value, "loss": 1.0},
            "intervals": {"accuracy": (value - 0.01, value + 0.01)},
            "train_s": float(repeat),
        }
        return measured, {"method": "prompt", "of": repeat}


@pytest.fixture
def found(tmp_path, monkeypatch):
    """The winner as it was measured, and what workers were asked for it."""
    monkeypatch.setattr(ray, "get", lambda refs: refs)
    study = study_of_three(tmp_path)
    for repeat, accuracy in VALID.items():
        record_confirmed(study, f"0:{repeat}", run_of(accuracy, seed=70 + repeat))
    config = settings(tmp_path, confirm_top=1, confirm_seeds=3)
    best = winner(study, best_trials(study, 1), config)
    workers = Workers()
    return _on_test(config, best, [workers]), workers.asked, config


def test_the_seed_that_is_best_on_valid_is_exported_with_its_own_numbers(found):
    finished, _, config = found
    assert finished.seed == 72
    assert finished.state == config.trial_folder(confirm_number(0, 2))
    assert finished.metrics["exported test"]["accuracy"] == 0.85
    assert finished.outcome == {"intervals": {"accuracy": (0.84, 0.86)}, "train_s": 2.0}
    assert finished.facts["of"] == 2


def test_a_winners_metrics_are_means_over_its_seeds(found):
    finished, _, _ = found
    assert finished.metrics["valid"]["accuracy"] == pytest.approx(0.8)
    assert finished.metrics["test"]["accuracy"] == pytest.approx(0.8)


def test_each_seed_answers_the_test_split_once(found):
    _, asked, _ = found
    assert [(request.seed, split) for request, split in asked] == [(71, "test"), (72, "test"), (73, "test")]


@pytest.mark.parametrize(
    ("changes", "finished"),
    [
        ({}, True),
        ({"trials": 7}, True),
        ({"trials": 9}, False),
        ({"confirm_seeds": 3}, False),
        ({"confirm_top": 1}, False),
    ],
)
def test_a_study_is_finished_for_as_many_trials_or_fewer_and_the_same_confirm_runs(tmp_path, changes, finished):
    study = new_study(tmp_path)
    assert not is_finished(study, settings(tmp_path))
    study.set_user_attr(FINISHED, finished_as(settings(tmp_path)))
    assert is_finished(study, settings(tmp_path, **changes)) is finished
