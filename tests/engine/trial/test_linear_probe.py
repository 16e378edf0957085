"""The linear probe against torch's own modules: its transformer layers for the states, its linear layer to train."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sp_search.batches.stream import BatchStream
from sp_search.engine.transformer.folded_weights import fold_weights
from sp_search.engine.trial.linear_probe import ProbeTensors, pooled_states
from sp_search.errors import CheckpointError, ConfigError
from sp_search.lm.unit_lm import sinusoidal_positions
from sp_search.types import EOS
from tests.engine.trials import BUDGET, tensors_of
from tests.tiny import ANSWERS, CPU, tiny_data, tiny_lm, tiny_split, tiny_texts, tiny_trainer

PROBE = dict(method="probe", lr=0.02, probe_layer=2)


def torch_layers(lm):
    """The LM's layers as torch has them."""
    shape = lm.architecture
    for layer in lm.layers:
        one = nn.TransformerEncoderLayer(
            shape.embed_dim, shape.attention_heads, shape.ffn_embed_dim, 0.0, batch_first=True, norm_first=True
        )
        one.load_state_dict({
            "self_attn.in_proj_weight": layer.qkv_weight, "self_attn.in_proj_bias": layer.qkv_bias,
            "self_attn.out_proj.weight": layer.out_weight, "self_attn.out_proj.bias": layer.out_bias,
            "norm1.weight": layer.attn_norm_weight, "norm1.bias": layer.attn_norm_bias,
            "norm2.weight": layer.ffn_norm_weight, "norm2.bias": layer.ffn_norm_bias,
            "linear1.weight": layer.fc1_weight, "linear1.bias": layer.fc1_bias,
            "linear2.weight": layer.fc2_weight, "linear2.bias": layer.fc2_bias,
        })  # fmt: skip
        yield one.eval()


@torch.no_grad()
def states_by_torch(lm, source, layer):
    """Layer-normed states of the units alone, an utterance by itself: (N, D)."""
    tokens = torch.tensor([EOS, *source])
    positions = sinusoidal_positions(lm.architecture, torch.arange(2, 2 + len(tokens)))
    x = (lm.embedding[tokens] * math.sqrt(lm.architecture.embed_dim) + positions)[None]
    mask = nn.Transformer.generate_square_subsequent_mask(len(tokens))
    for one in list(torch_layers(lm))[:layer]:
        x = one(x, src_mask=mask)
    return F.layer_norm(x[0, 1:], x.shape[-1:])


@pytest.mark.parametrize("limit", [0, 4])
@pytest.mark.parametrize("layer", [1, 3])
def test_pooled_states_are_those_of_torchs_layers(layer, limit):
    lm, split = tiny_lm(), tiny_split("test", 9, seed=2)
    weights = fold_weights(lm, CPU, torch.float32)
    sources = [split.source(i).tolist()[: limit or None] for i in range(len(split))]
    states = [states_by_torch(lm, source, layer) for source in sources]
    for pooling, wanted in (("mean", [s.mean(0) for s in states]), ("last", [s[-1] for s in states])):
        found = pooled_states(weights, split, layer=layer, pooling=pooling, max_units=limit)
        torch.testing.assert_close(found, torch.stack(wanted), rtol=1e-5, atol=1e-5)


def test_the_size_of_a_pass_changes_no_state():
    split, weights = tiny_split("test", 9, seed=2), fold_weights(tiny_lm(), CPU, torch.float32)
    one, all_ = (
        pooled_states(weights, split, layer=2, pooling="mean", max_units=0, tokens_per_pass=n) for n in (1, 1000)
    )
    torch.testing.assert_close(one, all_, rtol=1e-5, atol=1e-6)


def test_updates_leave_the_layer_that_a_plain_loop_leaves(tmp_path):
    """From the pack's own start: only what it learns from it is compared."""
    data, updates = tiny_data(), 7
    trainer = tiny_trainer(data=data)
    trainer.add(1, PROBE, seed=4, budget=BUDGET)
    start = tensors_of(trainer, 1, tmp_path)
    states = torch.stack([states_by_torch(tiny_lm(), data.train.source(i).tolist(), 2).mean(0) for i in range(40)])
    inputs = (states - states.mean(0)) / states.std(0, correction=0)
    gold = torch.tensor([ANSWERS.index(answer) for answer in data.train.answers])
    linear = nn.Linear(16, len(ANSWERS))
    linear.load_state_dict({"weight": start["weight"].clone(), "bias": start["bias"].clone()})
    optimizer = torch.optim.Adam(linear.parameters(), lr=0.02, betas=(0.9, 0.98))
    stream = BatchStream(np.diff(data.train.offsets), 8, seed=3)
    for position in range(updates):
        chosen = torch.from_numpy(stream.batch(position))
        optimizer.zero_grad()
        F.cross_entropy(linear(inputs[chosen]), gold[chosen]).backward()
        nn.utils.clip_grad_norm_(linear.parameters(), 1.0)
        optimizer.step()
    trainer.retrain([1], [[0, updates]])
    found = tensors_of(trainer, 1, tmp_path)
    torch.testing.assert_close(found["weight"], linear.weight.detach(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found["bias"], linear.bias.detach(), rtol=1e-4, atol=1e-5)
    names = [" ".join(data.space.words(answer, data.task)) for answer in data.space.answers]
    assert names == [" ".join(answer) for answer in ANSWERS]
    best = linear(inputs).argmax(-1)
    assert trainer.evaluate([1], "train")[1]["accuracy"] == pytest.approx(float((best == gold).float().mean()))
    loss = F.cross_entropy(linear(inputs), gold).item() / 3  # an answer has three symbols
    assert trainer.evaluate([1], "train")[1]["loss"] == pytest.approx(loss, rel=1e-4)


def test_a_probe_learns_what_shows_in_the_units():
    trainer = tiny_trainer(chunk_updates=200)
    trainer.add(1, PROBE, seed=0, budget=10**6)
    trainer.advance([1], {1: 0})
    assert trainer.evaluate([1], "train")[1]["accuracy"] > 0.9


def test_the_outcome_has_an_interval_around_the_value_and_the_time_of_the_states_too():
    trainer = tiny_trainer(chunk_updates=20)
    trainer.add(1, PROBE, seed=0, budget=10**6)
    before = trainer.measure({1: 1.0}, "test")["train_s"]
    trainer.advance([1], {1: 0})
    outcome, value = trainer.measure({1: 1.0}, "test"), trainer.evaluate([1], "test")[1]["accuracy"]
    low, high = outcome["intervals"]["accuracy"]
    assert low <= value <= high
    assert 0 < before < outcome["train_s"]


def test_facts_count_the_linear_layer_as_trained_and_the_standardisation_as_stored():
    trainer = tiny_trainer()
    trainer.add(1, PROBE, seed=0, budget=BUDGET)
    trained = 5 * 16 + 5
    assert trainer.facts(1) == {
        "method": "probe",
        "trained_parameters": trained,
        "inert_parameters": 0,
        "stored_bytes": 4 * (trained + 2 * 16),
        "tokens_per_pass": 10**6,
    }


def test_a_probe_is_refused_where_answers_are_written():
    trainer = tiny_trainer(data=tiny_texts())
    with pytest.raises(
        ConfigError, match=r"^method=probe: expected a task whose answers are chosen .*, got task asr, "
    ):
        trainer.add(1, PROBE, seed=0, budget=BUDGET)


def test_a_layer_that_the_lm_has_not_is_refused():
    with pytest.raises(ConfigError, match=r"^probe_layer: expected at most the LM's 3 layers, got 4$"):
        tiny_trainer().add(1, {**PROBE, "probe_layer": 4}, seed=0, budget=BUDGET)


def test_a_probe_has_no_loss_on_a_split_whose_answers_training_never_had():
    data = tiny_data()
    data.answers = {**data.answers, "valid": np.full((12, 3), 8, dtype=np.int32)}
    trainer = tiny_trainer(data=data)
    trainer.add(1, PROBE, seed=0, budget=BUDGET)
    assert set(trainer.evaluate([1], "valid")[1]) == {"accuracy"}


def test_tensors_of_another_kind_are_refused():
    with pytest.raises(CheckpointError, match=r"^best: expected probe tensors \['bias', .*\], got \['separator'\]$"):
        ProbeTensors.from_named({"separator": torch.ones(3)}, "best")
