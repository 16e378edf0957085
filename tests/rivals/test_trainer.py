"""Rivals as trials: one fit and one report, the same numbers whatever the seed, and states that are gone on from."""

import math

import numpy as np
import pytest

from sp_search.errors import CheckpointError, ConfigError
from sp_search.metrics.accuracy import hits
from sp_search.metrics.measures import measure
from sp_search.rivals import trainer as trainer_module
from sp_search.rivals.rival import CountedCorpus
from sp_search.rivals.settings import RivalSettings
from sp_search.rivals.trainer import RivalTrainer, saved_rival
from sp_search.tasks.registry import TASKS
from sp_search.types import RIVAL_FILE
from tests.tiny import tiny_corpus, tiny_texts

NGRAM = {"method": "ngram", "ngrams": 2, "sublinear_tf": True, "min_df": 1, "C": 3.0}
RETRIEVAL = {"method": "retrieval", "ngrams": 2, "sublinear_tf": True, "min_df": 1}
BOTH = pytest.mark.parametrize("params", [NGRAM, RETRIEVAL], ids=["ngram", "retrieval"])
CORPUS = tiny_corpus(train=80, valid=40, test=40)
BUDGET = 640


def trainer_with(*trials, seed=0):
    trainer = RivalTrainer(TASKS["intent"], CORPUS)
    for number, params in enumerate(trials):
        trainer.add(number, params, seed=seed, budget=BUDGET)
    return trainer


@BOTH
def test_a_trial_reports_once_what_its_fit_comes_to_on_valid(params):
    settings, valid = RivalSettings.from_params(params), CORPUS.splits["valid"]
    rival, log_probs = CountedCorpus.of(settings.counted, CORPUS.splits["train"], valid).fit(settings)
    (report,) = trainer_with(params).advance([0], {0: BUDGET}).values()
    assert (report.utterances_seen, report.diverged) == (BUDGET, "")
    assert set(report.metrics) == {"valid_accuracy", "valid_loss", "utterances_per_s"}
    assert report.metrics["valid_accuracy"] == hits(rival.answers(valid), valid.answers).value
    wanted = [log_probs[i, rival.legal.index(answer)] for i, answer in enumerate(valid.answers)]
    assert report.metrics["valid_loss"] == pytest.approx(-math.fsum(wanted) / len(wanted), abs=1e-6)


def test_trials_of_a_pack_are_fitted_one_a_call_in_order():
    trainer = trainer_with(NGRAM, RETRIEVAL, {**NGRAM, "ngrams": 1})
    until = dict.fromkeys(range(3), BUDGET)
    told = [list(trainer.advance(left, until)) for left in ([0, 1, 2], [1, 2], [2])]
    assert told == [[0], [1], [2]]


@BOTH
def test_another_seed_and_other_trials_beside_change_no_number(params):
    alone, beside = trainer_with(params), trainer_with(params, {**NGRAM, "C": 0.1}, seed=5)
    alone.advance([0], {0: BUDGET})
    beside.advance([1], {1: BUDGET})
    beside.advance([0], {0: BUDGET})
    assert alone.evaluate(0, "test") == beside.evaluate(0, "test")
    for name, tensor in alone.rival(0).tensors().items():
        np.testing.assert_array_equal(tensor, beside.rival(0).tensors()[name])


@BOTH
def test_a_saved_trial_goes_on_with_its_note(params, tmp_path):
    trainer = trainer_with(params)
    trainer.advance([0], {0: BUDGET})
    trainer.save(0, tmp_path, {"of": {"params": dict(params), "seed": 3}, "told": {"loss": float("nan")}})
    other = RivalTrainer(TASKS["intent"], CORPUS)
    other.add(7, params, seed=0, budget=BUDGET, state=tmp_path)
    ours, theirs = other.measure({7: 1.0}, "test"), trainer.measure({0: 1.0}, "test")
    for name in ("metrics", "intervals", "train_s"):
        assert ours[name] == theirs[name]
    assert ours["tally"].found.tolist() == theirs["tally"].found.tolist()
    assert other.facts(7) == trainer.facts(0)
    note = other.note(tmp_path)
    assert note["of"] == {"params": params, "seed": 3}
    assert math.isnan(note["told"]["loss"])
    assert saved_rival(tmp_path).answers(CORPUS.splits["test"]) == trainer.rival(0).answers(CORPUS.splits["test"])


def test_a_trial_that_was_saved_before_its_fit_is_fitted_then(tmp_path):
    trainer_with(NGRAM).save(0, tmp_path)
    trainer = RivalTrainer(TASKS["intent"], CORPUS)
    trainer.add(0, NGRAM, seed=0, budget=BUDGET, state=tmp_path)
    assert trainer.note(tmp_path) == {}
    assert saved_rival(tmp_path) is None
    assert list(trainer.advance([0], {0: BUDGET})) == [0]


def test_a_state_of_other_parameters_or_a_damaged_one_is_refused(tmp_path):
    trainer = trainer_with(NGRAM)
    trainer.advance([0], {0: BUDGET})
    trainer.save(0, tmp_path)
    with pytest.raises(CheckpointError, match=r"rival.safetensors: expected the saved state of .*'ngrams': 3.*, got"):
        trainer.add(1, {**NGRAM, "ngrams": 3}, seed=0, budget=BUDGET, state=tmp_path)
    (tmp_path / RIVAL_FILE).write_bytes((tmp_path / RIVAL_FILE).read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="expected saved rivals, got"):
        trainer.note(tmp_path)
    assert trainer.note(tmp_path / "nowhere") is None


def test_wrong_parameters_are_refused_before_anything_is_fitted():
    with pytest.raises(ConfigError, match=r"^trial parameters: ngrams: expected 1 to 5, got 9$"):
        trainer_with({**NGRAM, "ngrams": 9})


@BOTH
def test_what_a_trial_comes_to_and_weighs(params):
    trainer = trainer_with(params)
    trainer.advance([0], {0: BUDGET})
    rival, test = trainer.rival(0), CORPUS.splits["test"]
    tally = measure(["accuracy"], rival.answers(test), test.answers)["accuracy"]
    told = trainer.measure({0: 1.0}, "test")
    assert told["metrics"]["accuracy"] == tally.value
    assert told["intervals"] == {"accuracy": tally.interval()}
    assert told["train_s"] > 0
    assert [one.words for one in told["answers"]] == list(rival.answers(test))
    log_probs = rival.log_probs(test)
    assert [one.score for one in told["answers"]] == pytest.approx(np.exp(log_probs).max(-1), abs=1e-5)
    wanted = [np.exp(row[rival.legal.index(answer)]) for row, answer in zip(log_probs, test.answers, strict=True)]
    assert [one.right for one in told["answers"]] == pytest.approx(wanted, abs=1e-5)
    assert trainer.facts(0) == {
        "method": params["method"],
        "trained_parameters": rival.trained_parameters,
        "stored_bytes": rival.stored_bytes,
    }


@BOTH
def test_written_answers_are_measured_by_their_own_metrics(params):
    data = tiny_texts()
    trainer = RivalTrainer(data.task, data.corpus)
    trainer.add(0, params, seed=0, budget=BUDGET)
    (report,) = trainer.advance([0], {0: BUDGET}).values()
    assert {"valid_char_accuracy", "valid_cer", "valid_wer"} < set(report.metrics)


def test_a_trial_that_left_is_forgotten():
    trainer = trainer_with(NGRAM)
    trainer.remove(0)
    with pytest.raises(KeyError):
        trainer.advance([0], {0: BUDGET})


def test_a_rival_that_is_fitted_on_a_part_answers_among_all_of_training(monkeypatch):
    train = CORPUS.splits["train"]
    lacking = train.answers[0]
    part = train.take(np.flatnonzero([answer != lacking for answer in train.answers]))
    monkeypatch.setattr(trainer_module, "fitted_on", lambda method, split: part)
    trainer = trainer_with(NGRAM, RETRIEVAL)
    for left in ([0, 1], [1]):
        trainer.advance(left, dict.fromkeys(range(2), BUDGET))
    gold, _ = trainer.events("valid")
    scores = [trainer.scores(number, "valid") for number in range(2)]
    assert {one.shape for one in scores} == {(40, len(set(train.answers)))}
    assert gold.max() < scores[0].shape[1]
    together = trainer.measure({0: 0.5, 1: 0.5}, "valid")
    assert lacking not in {one.words for one in together["answers"]}
    assert together["metrics"]["accuracy"] > 0.5
