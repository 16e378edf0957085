import numpy as np
import pytest

from sp_search.engine.trial import task_data as task_data_module
from sp_search.engine.trial.hparams import TrialHParams
from sp_search.engine.trial.task_data import task_data
from sp_search.errors import ConfigError, DataError
from sp_search.tasks.registry import get_task
from sp_search.tasks.verbalizers import Evidence, build_verbalizer
from sp_search.types import SPECIALS
from tests.other_architectures import ROTARY
from tests.tiny import (
    ANSWERS,
    SYMBOLS,
    UNITS,
    corpus_of,
    no_scores,
    split_of,
    tiny_architecture,
    tiny_corpus,
    tiny_data,
    tiny_dictionary,
    tiny_lm,
    tiny_trainer,
)

INTENT = get_task("intent")
RECIPE = dict(prompt_length=2, depth=1, lr=0.01)


def units(data, **params):
    return data.verbalizer_units(TrialHParams.from_params({**RECIPE, **params}), tiny_lm().embedding)


def test_answers_of_all_splits_are_numbered_by_the_training_split():
    data = tiny_data()
    assert data.space.symbols == SYMBOLS
    for name, split in data.corpus.splits.items():
        assert [data.space.words(tuple(row), INTENT) for row in data.answers[name].tolist()] == list(split.answers)


@pytest.mark.parametrize("split", ["valid", "test"])
def test_a_label_that_training_never_had_is_refused(split):
    splits = {**tiny_corpus().splits, split: split_of([[5]], [("on", "oven", "hall")], split)}
    with pytest.raises(
        DataError,
        match=rf"^{split} utterance 1: expected labels of the training split, got 'oven'; known are on, lamp",
    ):
        task_data(corpus_of(splits), tiny_dictionary(), INTENT, no_scores)


def test_likelihood_scores_are_made_once_and_only_when_a_trial_asks_for_them():
    asked = []

    def scores(data):
        asked.append(data)
        return np.random.default_rng(0).normal(size=(len(SYMBOLS), UNITS))

    data = task_data(tiny_corpus(), tiny_dictionary(), INTENT, scores)
    units(data, verbalizer="frequency")
    assert asked == []
    assert units(data, verbalizer="likelihood") == units(data, verbalizer="linear", verbalizer_base="likelihood")
    assert asked == [data]


@pytest.mark.parametrize("base", ["frequency", "random", "identity", "kmeans"])
def test_a_linear_verbalizer_feeds_answers_back_by_its_base(base):
    data = tiny_data()
    linear = units(data, verbalizer="linear", verbalizer_base=base, verbalizer_seed=5)
    assert linear == units(data, verbalizer=base, verbalizer_seed=5)


def many_labels():
    """Twenty-one labels for sixteen units."""
    answers = [(f"a{i}", f"o{i}", f"l{i}") for i in range(7)]
    splits = {
        name: split_of([[SPECIALS + i] for i in range(7)], answers, name) for name in ("train", "valid", "test")
    }
    return task_data(corpus_of(splits), tiny_dictionary(), INTENT, no_scores)


def test_a_trial_with_more_labels_than_units_is_refused_with_the_advice_to_use_linear():
    with pytest.raises(
        ConfigError, match=r"got 16 units for 21 labels; use verbalizer=linear with verbalizer_base=identity$"
    ):
        tiny_trainer(data=many_labels(), batch_size=4).add(1, RECIPE, seed=0, budget=100)


def test_a_linear_trial_trains_with_more_labels_than_units():
    trainer = tiny_trainer(data=many_labels(), batch_size=4)
    trainer.add(1, {**RECIPE, "verbalizer": "linear"}, seed=0, budget=100)
    assert trainer.advance([1], {1: 0})[1].diverged == ""


def test_every_legal_answer_of_the_made_up_corpus_is_in_its_training_split():
    """Else other tests would hold less than they say."""
    assert set(tiny_data().corpus.splits["train"].answers) == set(ANSWERS)


@pytest.mark.parametrize("kind", ["random", "kmeans"])
def test_the_seed_of_a_verbalizer_decides_its_units(kind):
    by_seed = [units(tiny_data(), verbalizer=kind, verbalizer_seed=seed) for seed in range(4)]
    assert by_seed == [units(tiny_data(), verbalizer=kind, verbalizer_seed=seed) for seed in range(4)]
    assert len(set(by_seed)) > 1


def test_a_random_verbalizer_is_the_draw_of_its_seed():
    data, embedding = tiny_data(), tiny_lm().embedding.numpy()
    evidence = Evidence(
        space=data.space, train=data.train, dictionary=data.dictionary, embedding=embedding, likelihood=None
    )
    for seed in (0, 7):
        assert (
            units(data, verbalizer="random", verbalizer_seed=seed) == build_verbalizer("random", evidence, seed).units
        )


def test_a_prompt_leaves_an_lm_that_counts_its_positions_fewer_units():
    data, trial = tiny_data(), TrialHParams.from_params({**RECIPE, "prompt_length": 8})
    data.check_trial(trial, tiny_architecture(max_positions=24))
    with pytest.raises(DataError, match=r"at most 11 units for an LM of 24 positions, 8 of them the prompt's, got 1"):
        data.check_trial(trial, tiny_architecture(**{**ROTARY, "max_positions": 24}))


def test_more_beginnings_of_answers_than_a_tree_can_hold_are_refused_before_it_is_made(monkeypatch):
    monkeypatch.setattr(task_data_module, "MOST_CHOICES", 12)
    with pytest.raises(
        ConfigError,
        match=r"at most 12 beginnings of answers to choose among, got 13 of 5 answers; take task",
    ):
        tiny_data()
