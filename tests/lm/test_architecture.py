import dataclasses
import math

import pytest
import torch
from fairseq.modules import SinusoidalPositionalEmbedding

from sp_search.errors import CheckpointError
from sp_search.lm.architecture import expected_shapes
from sp_search.lm.unit_lm import UnitLM, random_lm, sinusoidal_positions, tensors_fingerprint
from sp_search.types import PAD
from tests.tiny import tiny_architecture, tiny_lm


@pytest.mark.parametrize("width", [4, 16, 30, 256])
def test_positions_are_fairseqs_table(width):
    theirs = SinusoidalPositionalEmbedding(width, PAD, 50).weights[:50]
    ours = sinusoidal_positions(tiny_architecture(embed_dim=width), torch.arange(50))
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)


def test_the_published_shape_has_its_published_number_of_weights():
    """method.md, "The unit LM": 151,263,232 with tied projection and 104 symbols."""
    big = tiny_architecture(layers=12, embed_dim=1024, ffn_embed_dim=4096, attention_heads=16, vocab_size=104)
    assert sum(math.prod(shape) for shape in expected_shapes(big).values()) == 151_263_232


def test_a_random_lm_is_a_function_of_its_seed():
    one, again, other = tiny_lm(seed=0), tiny_lm(seed=0), tiny_lm(seed=1)
    assert one.fingerprint == again.fingerprint != other.fingerprint
    assert all(torch.equal(tensor, again.tensors()[name]) for name, tensor in one.tensors().items())


def test_a_random_lms_pads_are_zero():
    assert float(tiny_lm().embedding[PAD].abs().max()) == 0.0


@pytest.mark.parametrize("final_norm", [True, False])
def test_an_lm_comes_back_from_its_named_tensors(final_norm):
    lm = tiny_lm(final_norm=final_norm)
    again = UnitLM.from_tensors(lm.architecture, lm.tensors(), lm.fingerprint)
    assert set(again.tensors()) == set(expected_shapes(lm.architecture))
    assert all(torch.equal(tensor, again.tensors()[name]) for name, tensor in lm.tensors().items())


def test_all_missing_unexpected_and_misshapen_weights_are_named_at_once():
    lm = tiny_lm()
    tensors = lm.tensors()
    del tensors["final_norm_bias"]
    tensors["layers.0.fc1_bias"] = torch.zeros(7)
    tensors["layers.9.fc1_bias"] = torch.zeros(7)
    with pytest.raises(
        CheckpointError,
        match=r"^unit LM weights: missing final_norm_bias; unexpected layers\.9\.fc1_bias; "
        r"layers\.0\.fc1_bias: expected shape \(24,\), got \(7,\)$",
    ):
        UnitLM.from_tensors(lm.architecture, tensors, "")


@pytest.mark.parametrize(("width", "heads"), [(15, 3), (15, 5), (16, 3), (2, 1), (0, 1), (16, 0)])
def test_a_width_that_is_odd_or_tiny_or_not_divided_by_its_heads_is_refused(width, heads):
    with pytest.raises(
        CheckpointError, match=f"even width of 4 or more, divisible by its heads, got width {width} and {heads} heads"
    ):
        tiny_architecture(embed_dim=width, attention_heads=heads)


def test_an_lm_without_a_layer_is_refused():
    with pytest.raises(CheckpointError, match=r"^unit LM: expected 1 or more layers, got 0$"):
        tiny_architecture(layers=0)


def test_a_copy_in_bfloat16_keeps_its_norms_in_float32():
    copy = tiny_lm().to("cpu", torch.bfloat16)
    dtypes = {name: tensor.dtype for name, tensor in copy.tensors().items()}
    assert {dtype for name, dtype in dtypes.items() if "norm" in name} == {torch.float32}
    assert {dtype for name, dtype in dtypes.items() if "norm" not in name} == {torch.bfloat16}


def test_a_copy_that_changes_nothing_shares_its_weights():
    lm = tiny_lm()
    copy = lm.to("cpu", torch.float32).tensors()
    assert all(copy[name].data_ptr() == tensor.data_ptr() for name, tensor in lm.tensors().items())


def test_the_fingerprint_is_that_of_the_values_whatever_their_dtype_or_order():
    lm = random_lm(tiny_architecture(), seed=0).to("cpu", torch.bfloat16)
    named = lm.tensors()
    in_float = {name: tensor.float() for name, tensor in reversed(named.items())}
    assert tensors_fingerprint(named) == tensors_fingerprint(in_float)
    in_float["embedding"] = in_float["embedding"].clone()
    in_float["embedding"][5, 0] += 1
    assert tensors_fingerprint(named) != tensors_fingerprint(in_float)


def test_an_architecture_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        tiny_architecture().layers = 4
