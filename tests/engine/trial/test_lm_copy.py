"""Fine-tuning against a plain training loop: the LM unfolded, one utterance at a time, torch's own Adam."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from sp_search.batches.stream import BatchStream
from sp_search.engine.trial.hparams import TrialHParams
from sp_search.engine.trial.lm_copy import own_copy, own_named, split_own
from sp_search.errors import CheckpointError
from sp_search.lm.unit_lm import UnitLM
from sp_search.prompts.tensors import PromptTensors
from sp_search.types import EOS, SEPARATOR, SPECIALS
from tests.engine.trials import BUDGET, tensors_of
from tests.plain_form import plain_tail
from tests.tiny import tiny_data, tiny_lm, tiny_texts, tiny_trainer

UPDATES = 4
BY_HAND = dict(rtol=1e-4, atol=2e-5)


def trained_by_hand(data, lr):
    """Every weight of an LM, and the vector of `<s>`, after some updates; cross-entropy of `<s>`, answer, `</s>`."""
    start = tiny_lm()
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in start.tensors().items()}
    separator = start.embedding[SEPARATOR].clone().requires_grad_()
    optimizer = torch.optim.Adam([separator, *leaves.values()], lr=lr, betas=(0.9, 0.98))
    lm = UnitLM.from_tensors(start.architecture, leaves, "")
    units = data.verbalizer_units(TrialHParams.from_params(dict(method="finetune", lr=lr)), start.embedding)
    train = data.train
    stream = BatchStream(np.diff(train.offsets), 8, seed=3)
    for position in range(UPDATES):
        total, count = torch.zeros(()), 0
        for i in stream.batch(position):
            answer = [units[symbol] for symbol in data.answers["train"][i] if symbol >= 0]
            logits = plain_tail(lm, PromptTensors(separator), range(0), train.source(int(i)).tolist(), answer)
            wanted = torch.tensor([SEPARATOR, *answer, EOS])
            total, count = total + F.cross_entropy(logits, wanted, reduction="sum"), count + len(wanted)
        optimizer.zero_grad()
        (total / count).backward()
        torch.nn.utils.clip_grad_norm_([separator, *leaves.values()], 1.0)
        optimizer.step()
    return {"separator": separator, **{f"lm.{name}": tensor for name, tensor in leaves.items()}}


def without_key_bias(named):
    """Attention doesn't see the bias of keys: it has no gradient but what rounding leaves, which Adam blows up."""
    width = len(named["separator"])
    return {
        name: torch.cat([tensor[:width], tensor[2 * width :]]) if name.endswith("qkv_bias") else tensor
        for name, tensor in named.items()
    }


@pytest.mark.parametrize("make_data", [tiny_data, tiny_texts], ids=["answers of one length", "of many lengths"])
def test_updates_leave_the_weights_that_a_plain_loop_leaves(make_data, tmp_path):
    data, lr = make_data(), 0.002
    trainer = tiny_trainer(data=data)
    trainer.add(1, dict(method="finetune", lr=lr), seed=0, budget=BUDGET)
    trainer.retrain([1], [[0, UPDATES]])
    found, wanted = (without_key_bias(one) for one in (tensors_of(trainer, 1, tmp_path), trained_by_hand(data, lr)))
    assert set(found) == set(wanted)
    for name, tensor in wanted.items():
        torch.testing.assert_close(found[name], tensor.detach(), **BY_HAND, msg=lambda text, n=name: f"{n}: {text}")


def test_the_shared_lm_and_the_prompts_beside_it_are_left_alone():
    prompt = dict(prompt_length=2, depth=2, lr=0.01, dropout=0.0)
    lm, alone = tiny_lm(), tiny_trainer()
    weights = {name: tensor.clone() for name, tensor in lm.tensors().items()}
    beside = tiny_trainer(lm=lm)
    for trainer in (alone, beside):
        trainer.add(1, prompt, seed=0, budget=BUDGET)
    beside.add(2, dict(method="finetune", lr=0.1), seed=0, budget=BUDGET)
    beside.advance([1, 2], {1: 0, 2: 0})
    alone.advance([1], {1: 0})
    assert beside.evaluate([1], "test")[1] == alone.evaluate([1], "test")[1]
    assert all(torch.equal(tensor, weights[name]) for name, tensor in lm.tensors().items())


@pytest.mark.parametrize("make_data", [tiny_data, tiny_texts], ids=["chosen", "written"])
def test_training_lowers_the_loss_on_what_it_has_seen(make_data):
    trainer = tiny_trainer(data=make_data(), chunk_updates=40)
    trainer.add(1, dict(method="finetune", lr=0.003), seed=0, budget=10**6)
    before = trainer.evaluate([1], "train")[1]["loss"]
    trainer.advance([1], {1: 0})
    assert trainer.evaluate([1], "train")[1]["loss"] < 0.5 * before


def test_facts_count_every_weight_and_a_vector_for_the_separator():
    trainer, lm = tiny_trainer(), tiny_lm()
    trainer.add(1, dict(method="finetune", lr=0.1), seed=0, budget=BUDGET)
    weights = sum(tensor.numel() for tensor in lm.tensors().values())
    assert trainer.facts(1) == {
        "method": "finetune",
        "trained_parameters": weights + 16,
        "inert_parameters": 0,
        "stored_bytes": 4 * (weights + 16),
        "tokens_per_pass": 10**6,
    }


def test_a_stored_lm_is_read_again_from_among_other_tensors():
    lm = own_copy(tiny_lm())
    stored = {"separator": torch.ones(16), "head": torch.ones(3, 20)} | own_named(lm)
    again, rest = split_own(stored, lm.architecture, "print", "here")
    assert set(rest) == {"separator", "head"}
    assert again.fingerprint == "print"
    assert all(again.tensors()[name] is tensor for name, tensor in lm.tensors().items())


def test_a_stored_lm_that_lacks_a_weight_is_refused_with_its_place():
    lm = own_copy(tiny_lm())
    stored = own_named(lm)
    del stored["lm.layers.1.fc1_bias"]
    with pytest.raises(CheckpointError, match=r"^best: unit LM weights: missing layers\.1\.fc1_bias$"):
        split_own(stored, lm.architecture, "", "best")


def test_a_linear_head_has_a_row_for_each_symbol():
    trainer, data = tiny_trainer(), tiny_data()
    trainer.add(1, dict(method="finetune", lr=0.1, verbalizer="linear"), seed=0, budget=BUDGET)
    trainer.add(2, dict(method="finetune", lr=0.1), seed=0, budget=BUDGET)
    extra = trainer.facts(1)["trained_parameters"] - trainer.facts(2)["trained_parameters"]
    assert extra == (SPECIALS + len(data.space.symbols)) * 20
