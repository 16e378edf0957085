"""The time that a trial is said to have trained, by a clock that the test moves."""

import itertools
from types import SimpleNamespace

import pytest

from sp_search.engine.train import trainer as trainer_module
from tests.engine.trials import BATCH, BUDGET, TRIALS, add_all
from tests.tiny import tiny_trainer


def test_the_seconds_of_a_chunk_are_shared_by_the_trials_that_trained(monkeypatch):
    """A clock that shows 6 seconds more each time: a chunk of two trials is 3 seconds of each."""
    clock = itertools.count(step=6)
    trainer = tiny_trainer()
    add_all(trainer, {1: TRIALS["infix"], 2: TRIALS["deep infix"], 3: TRIALS["both sides"]})
    monkeypatch.setattr(trainer_module, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    report = trainer.advance([1, 2], {1: 0, 2: 0})[1]
    trainer.advance([1], {1: BUDGET})
    assert {n: trainer.measure({n: 1.0}, "test")["train_s"] for n in (1, 2, 3)} == {1: 3.0 + 6.0, 2: 3.0, 3: 0.0}
    assert report.metrics["utterances_per_s"] == pytest.approx(2 * 2 * BATCH / 6)
