import pytest

from sp_search.errors import ConfigError
from sp_search.tracking.store.schema import (
    datasets_of,
    ended_name,
    ranked_names,
    shown_parameter,
    study_tags,
    summary_points,
    trial_name,
    trial_tags,
)
from tests.tiny import tiny_corpus
from tests.tracking.fakes import INFO, SUMMARY

PACKAGES = ("python", "torch", "ray", "optuna", "mlflow", "fairseq", "sp_search")
VERSIONS = {f"sp_search.version.{name}" for name in PACKAGES}
SHOWN = {"mlflow.user", "mlflow.source.name", "mlflow.source.git.commit"}
GIT = {"sp_search.git_sha", "sp_search.git_dirty"}
IDENTITY = {"sp_search.study", "sp_search.study_id", "sp_search.data_fingerprint"}


def test_a_study_carries_exactly_these_tags():
    tags = study_tags({**INFO, "lm": "big", "lm_fingerprint": "f" * 64}, study_id="abc123")
    told = {f"sp_search.{key}" for key in ("task", "data", "seed", "lm", "lm_fingerprint", "role", "host")}
    assert set(tags) == IDENTITY | told | GIT | VERSIONS | SHOWN
    assert (tags["sp_search.study"], tags["sp_search.study_id"], tags["sp_search.role"]) == (
        "demo",
        "abc123",
        "study",
    )


def test_a_trial_carries_exactly_these_tags():
    study = study_tags({**INFO, "lm": "big", "lm_fingerprint": "f" * 64}, study_id="abc123")
    tags = trial_tags(study, 5, {"role": "confirm", "seed": 101, "of_trial": 2})
    told = {
        f"sp_search.{key}" for key in ("task", "data", "lm", "lm_fingerprint", "role", "seed", "of_trial", "trial")
    }
    assert set(tags) == IDENTITY | told | GIT | SHOWN
    assert (tags["sp_search.trial"], tags["sp_search.seed"], tags["sp_search.role"]) == ("5", "101", "confirm")
    assert trial_name(5, tags) == "confirm of trial 2"
    assert trial_name(5, trial_tags(study, 5, {})) == "trial 5"


def test_a_study_without_what_it_is_known_by_is_refused():
    with pytest.raises(ConfigError, match=r"got none of task, data_fingerprint"):
        study_tags({"study": "demo", "data_fingerprint": ""}, study_id="abc123")


def test_a_study_id_that_would_not_go_into_a_query_is_refused():
    with pytest.raises(ConfigError, match=r"study_id: expected letters, digits and -, got \"a' or 'b\""):
        study_tags({**INFO, "study_id": "a' or 'b"}, study_id="")


def test_a_summary_becomes_exactly_these_metrics_and_tags():
    metrics, tags = summary_points(SUMMARY)
    assert metrics == {
        "trials_complete": 1.0, "trials_pruned": 1.0, "trials_failed": 0.0, "best_valid_accuracy": 0.75,
        "best_test_accuracy": 0.5, "trained_parameters": 1024.0, "stored_bytes": 4096.0, "wall_s": 12.5,
        "trial_s": 20.0, "rival_valid_accuracy": 0.5, "rival_test_accuracy": 0.25,
    }  # fmt: skip
    assert tags == {
        "sp_search.best.lr": "0.01",
        "sp_search.best.depth": "6",
        "sp_search.best_trial": "0",
        "sp_search.rival": "n-grams",
    }


def test_the_value_that_decides_stands_in_the_column_of_the_trials():
    metrics, _ = summary_points({**SUMMARY, "metric": "accuracy"})
    assert metrics["valid_accuracy"] == metrics["best_valid_accuracy"] == 0.75


def test_a_summary_without_a_winner_has_no_best():
    assert summary_points({"trials": {"failed": 3}, "best": None}) == ({"trials_failed": 3.0}, {})


def test_a_parameter_too_long_for_mlflow_is_cut_and_says_so():
    assert shown_parameter("x" * 6000) == "x" * 6000
    cut = shown_parameter("x" * 6001)
    assert len(cut) == 6000
    assert cut.endswith("x... (cut, 6001 characters in all)")


def test_an_ended_trial_says_in_its_name_how_far_it_came_and_with_what():
    params = {"lr": 0.1, "prompt_length": 137, "position": "prefix"}
    assert ended_name("trial 8", "PRUNED", 4000, params) == "trial 8 · pruned at 4,000 · prefix 137"
    assert ended_name("trial 9", "COMPLETE", 16000, {"lr": 0.1}) == "trial 9 · complete at 16,000"
    assert ended_name("trial 1", "FAIL", 0, {"ngrams": 3}) == "trial 1 · failed at 0 · 3-grams"
    assert ended_name("final of trial 8", "COMPLETE", 960, params, 7) == (
        "final of trial 8 · complete at 960 · prefix 137 · seed 7"
    )


def test_trials_of_full_budget_begin_with_their_rank_and_the_winner_says_so():
    names = {8: "trial 8 · complete", 3: "trial 3 · complete", 5: "trial 5 · pruned"}
    assert ranked_names(names, [3, 8], 8) == {3: "#1 · trial 3 · complete", 8: "#2 winner · trial 8 · complete"}


def test_a_split_is_known_by_its_units_and_labels_and_no_digest_is_too_long_for_mlflow():
    train, *others = datasets_of(tiny_corpus())
    assert (train.name, train.context, len(train.digest)) == ("tiny train", "train", 12)
    assert train.profile == {"num_rows": 40, "num_units": len(tiny_corpus().splits["train"].tokens)}
    assert len({train.digest, *(other.digest for other in others)}) == 3
    assert datasets_of(tiny_corpus(train=41))[0].digest != train.digest == datasets_of(tiny_corpus())[0].digest
