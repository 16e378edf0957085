import math

import pytest
import torch

from sp_search.errors import CheckpointError
from sp_search.prompts.settings import PromptSettings
from sp_search.prompts.tensors import PromptTensors, initial_head, initial_tensors
from sp_search.types import SPECIALS
from tests.tiny import tiny_architecture, tiny_lm

LAYERS, WIDTH, LENGTH = 3, 16, 5


@pytest.fixture(scope="module")
def lm():
    return tiny_lm(layers=LAYERS, embed_dim=WIDTH)


def start(lm, seed=0, **changes):
    settings = PromptSettings(**{"prompt_length": LENGTH, "depth": 0, **changes})
    return initial_tensors(settings, lm, torch.Generator().manual_seed(seed))


INPUT, DEEP = (LENGTH, WIDTH), (2, LENGTH, WIDTH)
SHAPES = {
    "input": (dict(), {"prefix": INPUT}),
    "infix": (dict(position="infix"), {"infix": INPUT}),
    "both": (dict(position="both"), {"prefix": INPUT, "infix": INPUT}),
    "deep": (dict(depth=2), {"keys": DEEP, "values": DEEP}),
    "deep from the bottom": (dict(depth=2, side="bottom"), {"keys": DEEP, "values": DEEP}),
    "deep infix": (dict(depth=2, position="infix"), {"infix": INPUT, "keys": DEEP, "values": DEEP}),
    "deep everywhere": (
        dict(depth=LAYERS),
        {"prefix": INPUT, "keys": (LAYERS, LENGTH, WIDTH), "values": (LAYERS, LENGTH, WIDTH)},
    ),
}


@pytest.mark.parametrize(("changes", "shapes"), SHAPES.values(), ids=SHAPES)
def test_a_prompt_has_the_tensors_of_its_kind_and_a_separator(lm, changes, shapes):
    found = start(lm, **changes).named()
    assert {name: tuple(tensor.shape) for name, tensor in found.items()} == {**shapes, "separator": (WIDTH,)}


@pytest.mark.parametrize(("changes", "inert"), [
    (dict(depth=LAYERS), {"prefix"}),
    (dict(depth=LAYERS, side="bottom"), {"prefix"}),
    (dict(depth=LAYERS - 1), set()),
    (dict(depth=LAYERS, position="infix"), set()),
    (dict(depth=0), set()),
    (dict(depth=0, position="both"), set()),
])  # fmt: skip
def test_only_the_input_prompt_beside_a_prefix_in_every_layer_is_inert(lm, changes, inert):
    assert start(lm, **changes).inert(LAYERS) == inert


def test_all_tensors_are_float32_leaves_that_want_gradients(lm):
    for tensor in start(lm, depth=LAYERS).named().values():
        assert (tensor.is_leaf, tensor.requires_grad, tensor.dtype) == (True, True, torch.float32)


def test_a_start_is_a_function_of_its_seed(lm):
    same, again, other = (start(lm, seed, depth=2).named() for seed in (1, 1, 2))
    for name, tensor in same.items():
        assert torch.equal(tensor, again[name])
        assert not torch.equal(tensor, other[name])


@pytest.mark.parametrize("scale", [0.1, 1.0, 3.0])
@pytest.mark.parametrize("kind", [dict(depth=0), dict(depth=2)], ids=str)
def test_a_normal_start_has_mean_0_and_the_deviation_asked_for(lm, scale, kind):
    found = start(lm, prompt_length=400, init_scale=scale, **kind).named()
    del found["separator"]  # 16 numbers: too few to tell
    for tensor in found.values():
        assert float(tensor.detach().std()) == pytest.approx(scale, rel=0.05)
        assert float(tensor.detach().mean()) == pytest.approx(0.0, abs=0.05 * scale)


def test_the_scale_changes_a_normal_start_by_its_factor_alone(lm):
    one, half = (start(lm, depth=2, init_scale=scale).named() for scale in (1.0, 0.5))
    for name, tensor in one.items():
        torch.testing.assert_close(half[name], 0.5 * tensor, rtol=1e-6, atol=0)


def rows_of_units(lm):
    return lm.embedding[SPECIALS:]


def unit_of_each_row(rows, table):
    nearest = torch.cdist(rows.detach(), table).argmin(dim=1)
    torch.testing.assert_close(rows.detach(), table[nearest], rtol=1e-6, atol=1e-6)
    return nearest.tolist()


def test_an_input_prompt_can_start_from_units_as_the_lm_reads_them(lm):
    found = start(lm, prompt_length=40, init="embedding", init_scale=0.5)
    table = 0.5 * math.sqrt(WIDTH) * rows_of_units(lm)
    assert len(set(unit_of_each_row(found.prefix, table))) > 5


def test_a_separator_can_start_from_a_unit_unscaled_for_the_lm_scales_it(lm):
    unit_of_each_row(start(lm, init="embedding").separator[None], rows_of_units(lm))


@pytest.mark.parametrize("name", ["keys", "values"])
def test_a_deep_prompt_can_start_from_units_normed_as_a_layers_inputs_are(lm, name):
    table = rows_of_units(lm)
    table = table / table.square().mean(dim=1, keepdim=True).sqrt()
    found = getattr(start(lm, prompt_length=20, depth=2, init="embedding"), name)
    unit_of_each_row(found.flatten(0, 1), table)


def test_tensors_come_back_from_their_names(lm):
    tensors = start(lm, depth=LAYERS)
    again = PromptTensors.from_named(tensors.named(), "here")
    assert set(again.named()) == {"separator", "prefix", "keys", "values"}
    assert all(again.named()[name] is tensor for name, tensor in tensors.named().items())


def test_a_name_that_no_prompt_has_is_refused():
    with pytest.raises(
        CheckpointError, match=r"^here: expected prompt tensors among .*'values'\], got \['suffix'\]$"
    ):
        PromptTensors.from_named({"separator": torch.zeros(2), "suffix": torch.zeros(2)}, "here")


def test_a_prompt_without_a_separator_is_refused():
    with pytest.raises(CheckpointError, match=r"^here: expected a tensor named separator, got \['prefix'\]$"):
        PromptTensors.from_named({"prefix": torch.zeros(1, 2)}, "here")


def test_detached_tensors_share_values_but_no_graph(lm):
    tensors = start(lm, depth=2)
    for name, tensor in tensors.detached().named().items():
        assert not tensor.requires_grad
        assert tensor.data_ptr() == tensors.named()[name].data_ptr()


def test_an_identity_head_passes_specials_and_each_labels_unit_through():
    head = initial_head((7, 4), tiny_architecture(vocab_size=9), "identity", torch.Generator())
    logits = torch.arange(9.0)
    assert (head @ logits).tolist() == [0, 1, 2, 3, 7, 4]


def test_a_uniform_head_starts_as_torchs_linear_layer_does():
    head = initial_head(
        tuple(range(4, 104)), tiny_architecture(vocab_size=104), "uniform", torch.Generator().manual_seed(0)
    )
    bound = 1 / math.sqrt(104)
    assert head.shape == (104, 104)
    assert float(head.abs().max()) <= bound
    assert float(head.std()) == pytest.approx(bound / math.sqrt(3), rel=0.02)
