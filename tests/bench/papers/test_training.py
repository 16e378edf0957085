"""The papers' training, on fairseq's decoder and on the engine: updates as a pack's, its end as fairseq's."""

import math
from functools import partial

import pytest
import torch

from sp_search.bench.papers.logits import EngineLogits, FairseqLogits
from sp_search.bench.papers.training import PapersRun, PapersTrial, train_to_early_stop
from sp_search.errors import CheckpointError
from tests.engine.trials import tensors_of
from tests.tiny import tiny_data, tiny_lm, tiny_trainer

PAPERS = dict(prompt_length=3, depth=3, lr=0.05, loss_scale="tokens")
TRIALS = {
    "the papers'": PAPERS,
    "infix, linear": dict(
        prompt_length=2, depth=2, lr=0.02, position="infix", verbalizer="linear", verbalizer_dropout=0.0
    ),
    "cut, answers alone": dict(prompt_length=2, depth=1, lr=0.02, max_source_units=4, score_separator=False),
}


FORWARDS = {"fairseq": FairseqLogits, "engine": partial(EngineLogits, dtype=torch.float32)}


def papers_trial(params, data, logits=FairseqLogits, batch_size=8):
    lm = tiny_lm()
    return PapersTrial(lm, data, params, seed=5, budget=1000, batch_size=batch_size, stream_seed=3, logits=logits(lm))


@pytest.mark.parametrize("logits", FORWARDS.values(), ids=FORWARDS)
@pytest.mark.parametrize("params", TRIALS.values(), ids=TRIALS)
def test_updates_with_dropout_leave_the_prompt_that_a_pack_leaves(params, logits, tmp_path):
    data = tiny_data()
    trial, trainer = papers_trial(params, data, logits), tiny_trainer(data=data)
    trainer.add(1, params, seed=5, budget=1000)
    for position in range(4):
        trial.update(position)
    trainer.retrain([1], [[0, 4]])
    assert trial.slot.segments == [[0, 4]]
    for name, tensor in tensors_of(trainer, 1, tmp_path).items():
        torch.testing.assert_close(trial.slot.tensors.named()[name].detach(), tensor, rtol=1e-3, atol=1e-4, msg=name)


def test_a_prompt_is_measured_as_a_pack_measures_it():
    data = tiny_data()
    trial, trainer = papers_trial(PAPERS, data), tiny_trainer(data=data)
    trainer.add(1, PAPERS, seed=5, budget=1000)
    assert trial.metrics("test") == pytest.approx(trainer.evaluate([1], "test")[1])


def train(trial, folder, *, patience=2, max_epochs=30, tell=lambda _: None):
    return train_to_early_stop(trial, folder, patience=patience, max_epochs=max_epochs, tell=tell)


def test_training_keeps_the_prompt_of_its_best_epoch_and_stops_behind_it(tmp_path):
    trial, told = papers_trial(PAPERS | {"lr": 0.3}, tiny_data()), []
    run = train(trial, tmp_path, tell=told.append)
    assert len(told) == len(run.valid_losses) == run.best_epoch + 2 < 30
    assert run.valid_losses[run.best_epoch - 1] == min(run.valid_losses)
    assert trial.valid_loss() == pytest.approx(min(run.valid_losses), rel=1e-6)
    assert {path.name for path in tmp_path.glob("epoch*")} == {f"epoch{run.best_epoch}", f"epoch{len(told)}"}


def test_training_ends_at_the_last_epoch_allowed(tmp_path):
    run = train(papers_trial(PAPERS, tiny_data()), tmp_path, patience=5, max_epochs=2)
    assert len(run.valid_losses) == 2


def test_a_training_that_was_cut_off_goes_on_to_the_same_prompt(tmp_path):
    class CutOffError(Exception):
        pass

    def cut_off(line):
        if line.startswith("epoch 3"):
            raise CutOffError

    data = tiny_data()
    whole = papers_trial(PAPERS, data)
    wanted = train(whole, tmp_path / "whole", max_epochs=5)
    with pytest.raises(CutOffError):
        train(papers_trial(PAPERS, data), tmp_path / "cut", max_epochs=5, tell=cut_off)
    told, again = [], papers_trial(PAPERS, data)
    run = train(again, tmp_path / "cut", max_epochs=5, tell=told.append)
    assert [line.split(":")[0] for line in told] == ["epoch 4", "epoch 5"]
    assert run.valid_losses == wanted.valid_losses
    assert again.slot.utterances_seen == whole.slot.utterances_seen
    for name, tensor in again.slot.tensors.named().items():
        torch.testing.assert_close(tensor, whole.slot.tensors.named()[name], rtol=0, atol=0, msg=name)


def test_a_training_of_another_batch_size_is_not_gone_on_with(tmp_path):
    data = tiny_data()
    train(papers_trial(PAPERS, data), tmp_path, max_epochs=1)
    with pytest.raises(CheckpointError, match=r"progress.json: expected a training of .*'batch_size': 4}, got .* 8}"):
        train(papers_trial(PAPERS, data, batch_size=4), tmp_path)


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
    run = PapersRun(losses)
    assert run.best_epoch == best
    assert run.has_stopped(patience=2) is stopped
