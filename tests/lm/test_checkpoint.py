import os
import pickle
import re
from argparse import Namespace

import pytest
import torch
from omegaconf import OmegaConf

from sp_search.errors import CheckpointError
from sp_search.lm.checkpoint import import_checkpoint
from sp_search.prompts.tensors import PromptTensors
from sp_search.types import SEPARATOR
from tests.damage import NOT_OURS, cut_off, garbled
from tests.fairseq_models import fairseq_args, fairseq_dictionary, fairseq_lm, fairseq_logits
from tests.plain_form import plain_logits
from tests.shared import shared

SOURCE, ANSWER = [5, 9, 7, 7, 12, 4], [8, 6]


@pytest.fixture
def args():
    return fairseq_args()


@pytest.fixture
def model(args):
    return fairseq_lm(args, fairseq_dictionary(20), seed=0)


@pytest.fixture
def write(tmp_path, args, model):
    """Write a checkpoint of `model`, with whatever is to be another way; returns its path."""

    def write(state=None, **layout):
        path = tmp_path / "lm.pt"
        record = {**(layout or {"args": args}), "model": model.state_dict() if state is None else state}
        torch.save({**record, "optimizer_history": [], "extra_state": {"epoch": 3}}, path)
        return path

    return write


def logits(lm):
    """As fairseq_logits, without any prompt."""
    return plain_logits(lm, PromptTensors(separator=lm.embedding[SEPARATOR]), range(0), SOURCE, ANSWER)


def assert_computes_as(lm, model):
    torch.testing.assert_close(logits(lm), fairseq_logits(model, SOURCE, ANSWER), rtol=1e-5, atol=1e-5)


def model_settings(args):
    return {"_name": "transformer_lm", **vars(args)}


LAYOUTS = {
    "args": lambda args: {"args": args},
    "cfg of plain dicts": lambda args: {"args": None, "cfg": {"model": model_settings(args), "task": {}}},
    "cfg with a Namespace": lambda args: {"args": None, "cfg": {"model": Namespace(**model_settings(args))}},
    "cfg of OmegaConf": lambda args: {"args": None, "cfg": OmegaConf.create({"model": model_settings(args)})},
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_every_layout_gives_an_lm_that_computes_as_fairseqs(write, args, model, layout):
    assert_computes_as(import_checkpoint(write(**layout(args))), model)


def test_the_shape_is_read_off_settings_and_embedding(write):
    shape = import_checkpoint(write()).architecture
    assert (shape.layers, shape.embed_dim, shape.ffn_embed_dim, shape.attention_heads) == (2, 16, 24, 2)
    assert (shape.vocab_size, shape.max_positions, shape.final_norm) == (24, 64, True)


def old_names(state):
    """As checkpoints were before fairseq had three input projections and named norms."""
    old = {}
    for name, tensor in state.items():
        renamed = name.replace("self_attn_layer_norm.", "layer_norms.0.")
        if ".layers." in renamed:
            renamed = renamed.replace("final_layer_norm.", "layer_norms.2.")
        if match := re.fullmatch(r"(.*)q_proj\.(\w+)", name):
            parts = [state[f"{match[1]}{letter}_proj.{match[2]}"] for letter in "qkv"]
            old[f"{match[1]}in_proj_{match[2]}"] = torch.cat(parts)
        elif not re.search(r"\.[kv]_proj\.", name):
            old[renamed] = tensor
    return old


def test_old_names_give_the_same_lm_as_new_ones(write, model):
    old = old_names(model.state_dict())
    assert any(name.endswith("in_proj_weight") for name in old)
    assert any(name.endswith("layer_norms.0.weight") for name in old)
    assert any(name.endswith("layer_norms.2.bias") for name in old)
    assert_computes_as(import_checkpoint(write(old)), model)


def test_old_names_are_those_that_fairseq_itself_takes(args, model):
    """Else the test above would hold our names to our own."""
    other = fairseq_lm(args, fairseq_dictionary(20), seed=1)
    other.load_state_dict(old_names(model.state_dict()))
    wanted = fairseq_logits(model, SOURCE, ANSWER)
    torch.testing.assert_close(fairseq_logits(other, SOURCE, ANSWER), wanted, rtol=1e-6, atol=1e-6)


def test_an_absent_output_projection_is_the_embedding(write, model):
    state = model.state_dict()
    del state["decoder.output_projection.weight"]
    assert_computes_as(import_checkpoint(write(state)), model)


def test_an_output_projection_of_its_own_is_refused(write, model):
    state = {**model.state_dict(), "decoder.output_projection.weight": torch.ones(24, 16)}
    with pytest.raises(
        CheckpointError, match="expected an output projection tied to the embedding, got one of its own"
    ):
        import_checkpoint(write(state))


def test_half_precision_becomes_float32_with_the_same_values(write, model):
    halves = {name: tensor.half() for name, tensor in model.state_dict().items()}
    lm = import_checkpoint(write(halves))
    assert lm.dtype == torch.float32
    assert torch.equal(lm.embedding, halves["decoder.embed_tokens.weight"].float())
    model.load_state_dict({name: tensor.float() for name, tensor in halves.items()})
    assert_computes_as(lm, model)


def test_a_table_of_positions_that_carries_nothing_is_left_alone(write, model):
    state = {**model.state_dict(), "decoder.embed_positions._float_tensor": torch.zeros(1)}
    assert_computes_as(import_checkpoint(write(state)), model)


@pytest.mark.parametrize("version", [None, 1.0, 2.0])
def test_an_early_version_has_no_final_norm_as_fairseq_loads_it(write, args, model, version):
    state = {name: t for name, t in model.state_dict().items() if not name.startswith("decoder.layer_norm.")}
    del state["decoder.version"]
    if version is not None:
        state["decoder.version"] = torch.tensor([version])
    theirs = fairseq_lm(args, fairseq_dictionary(20), seed=1)
    theirs.load_state_dict(dict(state))
    assert theirs.decoder.layer_norm is None
    assert_computes_as(import_checkpoint(write(state)), theirs)


def test_settings_without_a_final_norm_give_none(tmp_path):
    args = fairseq_args(no_decoder_final_norm=True)
    model = fairseq_lm(args, fairseq_dictionary(20), seed=0)
    torch.save({"args": args, "model": model.state_dict()}, tmp_path / "lm.pt")
    assert_computes_as(import_checkpoint(tmp_path / "lm.pt"), model)


def test_missing_and_unexpected_weights_are_all_named_as_fairseq_names_them(write, model):
    state = model.state_dict()
    for name in ("decoder.layers.0.fc1.bias", "decoder.layers.1.self_attn.k_proj.weight"):
        del state[name]
    state |= {"decoder.layers.2.fc1.bias": torch.zeros(24), "decoder.extra": torch.zeros(1)}
    with pytest.raises(
        CheckpointError,
        match=r"lm\.pt: expected the weights of 2 transformer_lm layers; "
        r"missing decoder\.layers\.0\.fc1\.bias, decoder\.layers\.1\.self_attn\.k_proj\.weight; "
        r"unexpected decoder\.extra, decoder\.layers\.2\.fc1\.bias$",
    ):
        import_checkpoint(write(state))


def test_weights_of_another_width_than_the_settings_are_refused(write, model):
    state = {**model.state_dict(), "decoder.layers.0.fc1.weight": torch.zeros(24, 8)}
    with pytest.raises(CheckpointError, match=r"layers\.0\.fc1_weight: expected shape \(24, 16\), got \(24, 8\)"):
        import_checkpoint(write(state))


def test_a_model_of_another_family_is_refused(write):
    with pytest.raises(
        CheckpointError, match=r"expected weights of a transformer_lm, found no decoder\.embed_tokens"
    ):
        import_checkpoint(write({"encoder.embed_tokens.weight": torch.zeros(24, 16)}))


OTHER_MODELS = {
    "decoder_normalize_before": False,
    "activation_fn": "gelu",
    "decoder_learned_pos": True,
    "no_token_positional_embeddings": True,
    "no_scale_embedding": True,
    "layernorm_embedding": True,
    "adaptive_softmax_cutoff": "5,10",
    "decoder_output_dim": 8,
}


@pytest.mark.parametrize(("name", "value"), OTHER_MODELS.items())
def test_what_the_engine_has_no_code_for_is_refused_by_name(write, args, name, value):
    setattr(args, name, value)
    with pytest.raises(
        CheckpointError,
        match=rf"lm\.pt: expected a transformer_lm this engine can run: {name}: expected \w+, got {value}$",
    ):
        import_checkpoint(write(args=args))


def test_settings_without_a_shape_are_refused(write):
    with pytest.raises(CheckpointError, match="decoder_layers: expected a number, found none; decoder_embed_dim: "):
        import_checkpoint(write(args=Namespace(arch="transformer_lm")))


@pytest.mark.parametrize("layout", [{"epoch": 1}, {"cfg": {}}, {"args": None, "cfg": {"model": None}}], ids=str)
def test_a_checkpoint_without_settings_is_refused(write, layout):
    with pytest.raises(
        CheckpointError, match=r"expected the model's settings under `args` or `cfg\.model`, found neither"
    ):
        import_checkpoint(write(**layout))


def test_an_absent_checkpoint_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"none\.pt: expected a fairseq checkpoint, found no such file"):
        import_checkpoint(tmp_path / "none.pt")


@pytest.mark.parametrize("content", [[1, 2], {"weights": 1}, {"model": 3}], ids=str)
def test_a_torch_file_of_another_kind_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "lm.pt")
    with pytest.raises(CheckpointError, match="expected a fairseq checkpoint with `model`, got another kind of file"):
        import_checkpoint(tmp_path / "lm.pt")


def refusals(path, contents):
    """What importing each of the contents ended in."""
    found = []
    for content in contents:
        path.write_bytes(content)
        with pytest.raises(CheckpointError) as caught:
            import_checkpoint(path)
        found.append(str(caught.value))
    return found


def test_a_checkpoint_cut_off_anywhere_is_refused_as_such(write):
    path = write()
    for message in refusals(path, list(cut_off(path.read_bytes(), 60))[1:]):
        assert message.startswith(f"{path}: expected a ")
        assert "cut-off file" in message or "another kind of file" in message


def test_a_file_that_is_no_torch_file_is_refused(tmp_path):
    for message in refusals(tmp_path / "lm.pt", NOT_OURS):
        assert message.startswith(f"{tmp_path / 'lm.pt'}: expected a ")


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_garbled_checkpoint_is_refused(write):
    path = write()
    for message in refusals(path, garbled(path.read_bytes(), 60, seed=0)):
        assert message.startswith(f"{path}: expected ")


class Marked:
    """Its pickle runs a command; a file says whether it did."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("old_file", [False, True], ids=["zip", "plain pickle"])
@pytest.mark.parametrize("place", ["args", "model", "extra_state"])
def test_a_pickle_that_would_run_code_is_refused_and_nothing_ran(tmp_path, write, old_file, place):
    marker, path = tmp_path / "ran", tmp_path / "evil.pt"
    record = torch.load(write(), weights_only=False) | {place: Marked(marker)}
    torch.save(record, path, _use_new_zipfile_serialization=not old_file)
    with pytest.raises(
        CheckpointError,
        match=r"evil\.pt: expected a fairseq checkpoint, got an object of \w+\.system, which is not on the "
        "allow-list; nothing in it was run",
    ):
        import_checkpoint(path)
    assert not marker.exists()


def test_that_pickle_would_have_run_had_it_been_trusted(tmp_path):
    """Else the test above would prove nothing."""
    pickle.loads(pickle.dumps(Marked(tmp_path / "ran")))  # noqa: S301
    assert (tmp_path / "ran").exists()


def test_the_real_lm_is_imported_with_its_shape():
    shape = import_checkpoint(shared("lm", "hubert100_6x256", "checkpoint_best.pt")).architecture
    assert (shape.layers, shape.embed_dim, shape.attention_heads, shape.vocab_size) == (6, 256, 4, 104)


def test_weights_that_are_no_tensors_are_refused(write, model):
    with pytest.raises(CheckpointError, match="expected tensors by name under model"):
        import_checkpoint(write({**model.state_dict(), "decoder.x": 3}))
