"""What an update does where memory runs out, and that it never waits for the device."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from sp_search.engine.answer import score
from sp_search.engine.answer.label_map import UNSCORED
from sp_search.engine.batch.collate import collate_sources
from sp_search.engine.prompted import source_cache
from sp_search.engine.prompted.forward import target_logits
from sp_search.engine.prompted.source_states import run_source
from sp_search.engine.train import train_step
from sp_search.engine.train.train_step import TrialUpdate
from sp_search.engine.trial import linear_probe
from sp_search.engine.trial.hparams import TrialHParams
from sp_search.engine.trial.trial import new_trial
from sp_search.errors import ConfigError
from tests.engine.trials import PROBES, TRIALS, add_all, assert_same, trained
from tests.tiny import CPU, tiny_data, tiny_lm, tiny_trainer

UPDATES = 4
ROOM = 5  # rows of all trials that fit at once, of 15 trials of 8 rows


class FailsBackward(torch.autograd.Function):
    """Memory that runs out at the very end of a backward pass, with most of the gradients computed."""

    @staticmethod
    def forward(ctx, x):
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient):
        raise torch.OutOfMemoryError("CUDA out of memory")


class SmallDevice:
    """`target_logits` where so many rows fit."""

    def __init__(self, *, forward: int, backward: int) -> None:
        self.forward, self.backward, self.refused, self.most_rows = forward, backward, 0, 0

    def __call__(self, weights, block, source, prompts, answers):
        rows = len(prompts) * len(block.units)
        self.most_rows = max(self.most_rows, rows)
        if rows > self.forward:
            self.refused += 1
            raise torch.OutOfMemoryError("CUDA out of memory")
        if rows > self.backward:
            self.refused += 1
            last = prompts[-1]
            separator = FailsBackward.apply(last.tensors.separator)
            prompts = [*prompts[:-1], replace(last, tensors=replace(last.tensors, separator=separator))]
        return target_logits(weights, block, source, prompts, answers)


class SmallFor:
    """A function of weights and a batch's sources, where so many rows fit."""

    def __init__(self, function, rows: int) -> None:
        self.function, self.rows, self.refused = function, rows, 0

    def __call__(self, weights, block, *others):
        if len(block.units) > self.rows:
            self.refused += 1
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.function(weights, block, *others)


@pytest.fixture(scope="module")
def roomy(tmp_path_factory):
    """All trials on a device that holds them."""
    trainer = tiny_trainer()
    add_all(trainer, dict(enumerate(TRIALS.values())))
    return trained(trainer, range(len(TRIALS)), UPDATES, tmp_path_factory.mktemp("roomy"))


@pytest.mark.parametrize(
    "room", [{"forward": ROOM, "backward": 10**9}, {"forward": 10**9, "backward": ROOM}], ids=lambda room: min(room)
)
def test_where_memory_runs_out_trials_train_as_where_it_does_not(room, roomy, tmp_path, monkeypatch):
    device = SmallDevice(**room)
    monkeypatch.setattr(train_step, "target_logits", device)
    trainer = tiny_trainer()
    add_all(trainer, dict(enumerate(TRIALS.values())))
    found = trained(trainer, range(len(TRIALS)), UPDATES, tmp_path)
    assert device.refused
    for number, wanted in roomy.items():
        assert_same(found[number], wanted)


@pytest.mark.parametrize("kept_bytes", [0, 20_000, 10**9])
def test_a_source_that_finds_no_memory_is_computed_in_halves_from_then_on(kept_bytes, roomy, tmp_path, monkeypatch):
    small = SmallFor(run_source, rows=3)
    monkeypatch.setattr(source_cache, "run_source", small)
    trainer = tiny_trainer(source_cache_bytes=kept_bytes)
    add_all(trainer, dict(enumerate(TRIALS.values())))
    found = trained(trainer, range(len(TRIALS)), UPDATES, tmp_path)
    for number, wanted in roomy.items():
        assert_same(found[number], wanted)
    assert small.refused
    longest = int(np.diff(tiny_data().train.offsets).max()) + 1
    assert trainer._train_step._source_size.tokens < 8 * longest


def test_the_source_of_one_utterance_that_finds_no_memory_says_what_to_lower(monkeypatch):
    monkeypatch.setattr(source_cache, "run_source", SmallFor(run_source, rows=0))
    trainer = tiny_trainer()
    add_all(trainer, {1: TRIALS["deep infix"]})
    with pytest.raises(
        ConfigError, match=r"^engine: expected memory for one utterance of one trial, \d+ tokens, got"
    ):
        trainer.advance([1], {1: 10**6})


def test_a_probe_reads_the_same_states_where_memory_runs_out(monkeypatch):
    roomy, metrics = tiny_trainer(), []
    small = SmallFor(linear_probe._states, rows=3)
    for trainer in (roomy, tiny_trainer()):
        add_all(trainer, {1: PROBES["probe"]})
        trainer.advance([1], {1: 10**6})
        metrics.append(trainer.evaluate([1], "valid")[1])
        monkeypatch.setattr(linear_probe, "_states", small)
    assert small.refused
    assert metrics[1] == pytest.approx(metrics[0], rel=1e-5)


def test_a_pack_whose_passes_were_halved_keeps_to_it(tmp_path, monkeypatch):
    device = SmallDevice(forward=ROOM, backward=10**9)
    monkeypatch.setattr(train_step, "target_logits", device)
    trainer = tiny_trainer()
    add_all(trainer, {1: TRIALS["short, all layers"], 2: TRIALS["long, top layers"]})
    trained(trainer, [1, 2], 2, tmp_path)
    tokens, refused = trainer.facts(1)["tokens_per_pass"], device.refused
    assert refused
    assert tokens < 10**6
    trained(trainer, [1, 2], 20, tmp_path)
    assert trainer.facts(1)["tokens_per_pass"] <= tokens
    assert device.refused <= refused + 1  # a batch of shorter sources has more rows in as many tokens


def test_validation_where_memory_runs_out_measures_the_same(tmp_path, monkeypatch):
    trainer = tiny_trainer()
    add_all(trainer, {1: TRIALS["deep infix"], 2: TRIALS["linear, decaying"]})
    wanted = {number: trainer.evaluate([number], "valid")[number] for number in (1, 2)}
    device = SmallDevice(forward=3, backward=10**9)
    monkeypatch.setattr(score, "target_logits", device)
    for number, metrics in wanted.items():
        assert trainer.evaluate([number], "valid")[number] == pytest.approx(metrics, rel=1e-5)
    assert device.refused


def test_validation_that_runs_out_of_memory_leaves_training_its_size(monkeypatch):
    trainer = tiny_trainer()
    add_all(trainer, {1: TRIALS["deep infix"]})
    device = SmallDevice(forward=3, backward=10**9)
    monkeypatch.setattr(score, "target_logits", device)
    trainer.evaluate([1], "valid")[1]
    assert trainer.facts(1)["tokens_per_pass"] == 10**6
    refused = device.refused
    trainer.evaluate([1], "valid")[1]
    assert device.refused <= refused + 1  # scoring keeps to its own halved size


def test_training_that_runs_out_of_memory_leaves_validation_its_size(monkeypatch):
    trainer = tiny_trainer()
    add_all(trainer, {1: TRIALS["deep infix"]})
    monkeypatch.setattr(train_step, "target_logits", SmallDevice(forward=3, backward=10**9))
    monkeypatch.setattr(score, "target_logits", watched := SmallDevice(forward=12, backward=10**9))
    trainer.advance([1], {1: 10**6})
    assert trainer.facts(1)["tokens_per_pass"] < 10**6
    trainer.evaluate([1], "valid")[1]
    assert watched.most_rows == 12  # all of valid at once


ONE_AND_THREE, THREE_EACH = torch.tensor([[2, -1, -1], [0, 1, 3]]), torch.tensor([[2, 0, 0], [0, 1, 3]])
SCORED = {  # rows: `<s>`, symbols, `</s>`; where `</s>` is not scored, all answers have one length
    "all": (ONE_AND_THREE, dict(), 2 + 4 + 2),
    "without `<s>`": (ONE_AND_THREE, dict(score_separator=False), 4 + 2),
    "without `</s>`": (THREE_EACH, dict(score_end=False), 2 + 6),
    "symbols only": (THREE_EACH, dict(score_separator=False, score_end=False), 6),
}


def learner_of(block, symbols, **settings):
    """A linear trial before a batch; its head makes every logit 0."""
    chosen = TrialHParams.from_params(dict(prompt_length=1, depth=1, lr=0.1, verbalizer="linear", **settings))
    trial = new_trial(chosen, tiny_lm(), tuple(range(4, 13)), seed=0, budget=100)
    trial.tensors.head = torch.zeros_like(trial.tensors.head)
    return TrialUpdate.of(trial, block, symbols, int((symbols >= 0).sum()))


def two_sources():
    return collate_sources([np.array([5, 6]), np.array([7])], max_units=0, device=CPU)


@pytest.mark.parametrize(("symbols", "settings", "scored"), SCORED.values(), ids=SCORED)
def test_every_scored_row_counts_once_in_loss_and_divisor(symbols, settings, scored):
    """Where all of C + 4 columns are as likely, a row costs log(C + 4)."""
    learner = learner_of(two_sources(), symbols, verbalizer_dropout=0.0, **settings)
    logits = torch.randn(2, 5, 20, generator=torch.Generator().manual_seed(0))
    nll = learner.nll(logits, symbols, range(2), has_separator=True, has_end=True)
    assert float(nll) == pytest.approx(scored * math.log(9 + 4), rel=1e-6)
    assert (learner.scored, learner.divisor) == (scored, scored)


def test_the_papers_divisor_counts_sources_and_every_special_once():
    learner = learner_of(two_sources(), ONE_AND_THREE, loss_scale="tokens", score_separator=False)
    assert learner.divisor == (2 + 1) + 2 + 4 + 2  # units, `<s>`, symbols, `</s>`
    assert learner.scored == 4 + 2


def test_the_last_row_sends_a_gradient_and_padding_none():
    learner = learner_of(two_sources(), ONE_AND_THREE, verbalizer_dropout=0.0)
    learner.trial.tensors.head = torch.eye(13, 20)
    logits = torch.zeros(2, 5, 20, requires_grad=True)
    learner.nll(logits, ONE_AND_THREE, range(2), has_separator=True, has_end=True).backward()
    assert (logits.grad.abs().sum(-1) > 0).tolist() == [[True, True, True, False, False], [True] * 5]


def test_the_loss_is_that_of_logits_with_dropout_behind_the_head():
    learner = learner_of(two_sources(), ONE_AND_THREE, verbalizer_dropout=0.5)
    head = torch.randn(13, 20, generator=torch.Generator().manual_seed(1))
    learner.trial.tensors.head = head
    logits = torch.randn(2, 5, 20, generator=torch.Generator().manual_seed(0))
    assert (learner.head_draws == 0).any()
    for rows in (range(2), range(1, 2)):
        mapped = (logits[rows.start : rows.stop] @ head.T) * learner.head_draws[rows.start : rows.stop]
        symbols = ONE_AND_THREE[rows.start : rows.stop]
        targets = learner.trial.verbalized.targets(symbols)
        wanted = F.cross_entropy(mapped.flatten(0, 1), targets.flatten(), ignore_index=UNSCORED, reduction="sum")
        found = learner.nll(logits[rows.start : rows.stop], symbols, rows, has_separator=True, has_end=True)
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
