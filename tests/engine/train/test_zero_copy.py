"""Shared parts: through a pickle and back without a copy, and a pack of them trains as one of its own does."""

import pickle
import warnings

import pytest
import torch

from sp_search.engine.train.trainer import MultiTrialTrainer
from sp_search.engine.train.zero_copy import SharedParts
from sp_search.engine.transformer.folded_weights import fold_weights
from tests.tiny import CPU, tiny_data, tiny_lm

PARAMS = dict(prompt_length=2, depth=2, lr=0.01, verbalizer="frequency", position="infix")
DTYPES = [torch.float32, torch.bfloat16]


def score(lm, data):
    """Stands for the likelihood, and tells which LM it is asked with."""
    return lm.embedding[0, :1].double().numpy()


def parts(dtype=torch.float32):
    return SharedParts(tiny_lm(), tiny_data(), fold_weights(tiny_lm(), CPU, dtype), score)


def sent(value):
    """What another process gets: its arrays from read-only blocks, as Ray's store lends them; and the pickle."""
    blocks = []
    text = pickle.dumps(value, protocol=5, buffer_callback=blocks.append)
    return pickle.loads(text, buffers=[bytes(block.raw()) for block in blocks]), text  # noqa: S301


def build_trainer(shared):
    sizes = dict(
        batch_size=8, chunk_updates=2, tokens_per_pass=0, source_cache_bytes=0, valid_sample=0, stream_seed=3
    )
    dtype = shared.weights.dtype
    return MultiTrialTrainer(shared.lm, shared.data, **sizes, device=CPU, dtype=dtype, weights=shared.weights)


def trained(trainer):
    trainer.add(1, PARAMS, seed=0, budget=100)
    report = trainer.advance([1], {1: 16})[1]
    return {**report.metrics, "utterances_per_s": 0, **trainer.evaluate([1], "test")[1]}


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_pack_of_parts_that_were_sent_trains_to_the_very_same_numbers(dtype):
    assert trained(build_trainer(sent(parts(dtype))[0])) == trained(build_trainer(parts(dtype)))


@pytest.mark.parametrize("dtype", DTYPES)
def test_weights_arrive_as_they_were(dtype):
    (here, (there, _)) = parts(dtype), sent(parts(dtype))
    assert there.weights.dtype == dtype
    for got, wanted in zip(there.weights.layers, here.weights.layers, strict=True):
        assert torch.equal(got.qkv.weight, wanted.qkv.weight)
        assert torch.equal(got.query_bias, wanted.query_bias)
        for name in ("prompt_keys", "prompt_values", "out", "fc1", "fc2"):
            linears = getattr(got, name), getattr(wanted, name)
            assert torch.equal(*(linear.weight for linear in linears))
            assert torch.equal(*(linear.bias for linear in linears))
    assert all(torch.equal(t, here.lm.tensors()[name]) for name, t in there.lm.tensors().items())


def test_no_weight_and_no_unit_is_in_the_pickle_or_can_be_written_to():
    here = parts()
    there, text = sent(here)
    for array in (here.lm.embedding.numpy(), here.weights.layers[0].fc1.weight.numpy(), here.data.train.tokens):
        assert array.tobytes() not in text
    assert not there.data.train.tokens.flags.writeable
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trainer = build_trainer(sent(here)[0])
    assert trainer._weights.dtype == torch.float32


def test_a_pack_uses_what_it_was_lent_where_it_lies():
    there, _ = sent(parts())
    trainer = build_trainer(there)
    assert trainer._lm.embedding.data_ptr() == there.lm.embedding.data_ptr()
    assert trainer._weights is there.weights


def test_the_likelihood_is_taken_from_the_lm_that_was_sent():
    there, _ = sent(parts())
    assert there.data.likelihood_scores(there.data) == tiny_lm().embedding[0, 0].item()


def test_parts_without_weights_arrive_without():
    assert sent(SharedParts(tiny_lm(), tiny_data(), None, score))[0].weights is None
