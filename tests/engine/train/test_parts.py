"""A trial that writes is measured on sentences heard before and on new ones apart, and on a sample of both."""

from dataclasses import replace

import numpy as np
import pytest

from sp_search.engine.trial.task_data import task_data
from tests.tiny import TEXTS, corpus_of, no_scores, tiny_dictionary, tiny_texts, tiny_trainer

NEW = TEXTS[1]  # spelled with the characters of the others
PARAMS = {"prompt_length": 2, "depth": 2, "lr": 0.03}


def parted():
    """The tiny transcripts, of which training has all but one."""
    whole = tiny_texts()
    train = whole.corpus.splits["train"]
    kept = np.array([i for i, answer in enumerate(train.answers) if answer != NEW])
    corpus = corpus_of({**whole.corpus.splits, "train": train.take(kept)})
    return task_data(corpus, tiny_dictionary(), whole.task, no_scores)


def only(data, is_new):
    """The same data, its valid and test of one part alone."""
    splits = {
        name: split.take(np.array([i for i, answer in enumerate(split.answers) if (answer == NEW) == is_new]))
        for name, split in data.corpus.splits.items()
        if name != "train"
    }
    corpus = replace(data.corpus, splits={**data.corpus.splits, **splits})
    return task_data(corpus, data.dictionary, data.task, no_scores)


def trained(data, **changes):
    trainer = tiny_trainer(data=data, **changes)
    trainer.add(0, PARAMS, seed=0, budget=160)
    return trainer, trainer.advance([0], {0: 16})[0].metrics


def test_each_part_is_measured_as_a_split_of_it_alone():
    data = parted()
    trainer, told = trained(data)
    assert data.known == set(TEXTS) - {NEW}
    names = data.task.metrics
    for split in ("valid", "test"):
        found = trainer.evaluate([0], split)[0]
        assert set(found) == {*names, *(f"{name}_{part}" for name in names for part in ("heard", "new")), "loss"}
        for part in ("heard", "new"):
            alone = trained(only(data, part == "new"))[0].measure({0: 1.0}, split)
            assert {name: found[f"{name}_{part}"] for name in names} == {n: alone["metrics"][n] for n in names}
            intervals = trainer.measure({0: 1.0}, split)["intervals"]
            assert {name: intervals[f"{name}_{part}"] for name in names} == alone["intervals"]
    assert {name: told[f"valid_{name}"] for name in found} == trainer.evaluate([0], "valid")[0]


@pytest.mark.parametrize("sample", [2, 5])
def test_before_its_full_budget_a_trial_is_measured_on_both_parts(sample):
    _, told = trained(parted(), valid_sample=sample)
    assert {"valid_char_accuracy_heard", "valid_char_accuracy_new"} < set(told)
