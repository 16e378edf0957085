"""The papers' training on fairseq's decoder: its updates are the engine's, its end is fairseq's early stop."""

import math

import pytest
import torch

from sp_search.bench.papers import PapersTrial, best_epoch, has_stopped, train_to_early_stop
from tests.engine.trials import tensors_of
from tests.tiny import CPU, tiny_data, tiny_lm, tiny_pack

PAPERS = dict(prompt_length=3, depth=3, lr=0.05, loss_scale="tokens")
TRIALS = {
    "the papers'": PAPERS,
    "infix, linear": dict(
        prompt_length=2, depth=2, lr=0.02, position="infix", verbalizer="linear", verbalizer_dropout=0.0
    ),
    "cut, answers alone": dict(prompt_length=2, depth=1, lr=0.02, max_source_units=4, score_separator=False),
}


def papers_trial(params, data):
    return PapersTrial(tiny_lm(), data, params, seed=5, budget=1000, batch_size=8, stream_seed=3, device=CPU)


@pytest.mark.parametrize("params", TRIALS.values(), ids=TRIALS)
def test_updates_with_dropout_leave_the_prompt_that_the_engine_leaves(params, tmp_path):
    data = tiny_data()
    trial, pack = papers_trial(params, data), tiny_pack(data=data)
    pack.add(1, params, seed=5, budget=1000)
    for position in range(4):
        trial.update(position)
    pack.retrain(1, [[0, 4]])
    assert trial.slot.segments == [[0, 4]]
    for name, tensor in tensors_of(pack, 1, tmp_path).items():
        torch.testing.assert_close(trial.slot.tensors.named()[name].detach(), tensor, rtol=1e-3, atol=1e-4, msg=name)


def test_a_prompt_is_measured_as_a_pack_measures_it():
    data = tiny_data()
    trial, pack = papers_trial(PAPERS, data), tiny_pack(data=data)
    pack.add(1, PAPERS, seed=5, budget=1000)
    assert trial.metrics("test") == pytest.approx(pack.evaluate(1, "test"))


def test_training_keeps_the_prompt_of_its_best_epoch_and_stops_behind_it():
    trial, told = papers_trial(PAPERS | {"lr": 0.3}, tiny_data()), []
    run = train_to_early_stop(trial, patience=2, max_epochs=30, tell=told.append)
    assert len(told) == len(run.valid_losses) == run.best_epoch + 2 < 30
    assert run.valid_losses[run.best_epoch - 1] == min(run.valid_losses)
    assert trial.valid_loss() == pytest.approx(min(run.valid_losses), rel=1e-6)
    assert run.utterances == len(told) * 40


def test_training_ends_at_the_last_epoch_allowed():
    run = train_to_early_stop(papers_trial(PAPERS, tiny_data()), patience=5, max_epochs=2, tell=lambda _: None)
    assert len(run.valid_losses) == 2


@pytest.mark.parametrize(
    ("losses", "best", "stopped"),
    [
        ([3.0], 1, False),
        ([3.0, 2.0, 2.0], 2, False),  # as good is no better
        ([3.0, 2.0, 2.0, 2.5], 2, True),
        ([3.0, 2.0, 2.5, 1.0], 4, False),
        ([math.nan, math.nan, math.nan], 1, True),
        ([math.nan, 5.0], 2, False),
    ],
)
def test_early_stop_counts_epochs_behind_the_best(losses, best, stopped):
    assert best_epoch(losses) == best
    assert has_stopped(losses, patience=2) is stopped
