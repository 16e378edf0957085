"""A folder in the `transformers` format: read in every form; refused in one line where it can not be run."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from sp_search.errors import CheckpointError
from sp_search.export.folder import lm_tokens_in
from sp_search.lm import store
from sp_search.lm.unit_tokens import GivenTokens, agreed_tokens
from sp_search.lm.zoo import load_lm
from sp_search.units.dictionary import Dictionary
from tests.tiny import UNITS, write_dictionary
from tests.transformers_models import CONFIGS, POSITIONS, SLAMKIT, save_as_slamkit, tiny_model, write_tokeniser


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A Qwen2 with SlamKit's numbers, as `save_pretrained` leaves it, and the tokeniser beside it."""
    folder = tmp_path_factory.mktemp("saved")
    tiny_model(CONFIGS["qwen2"]()).save_pretrained(folder)
    write_tokeniser(folder)
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "lm")


def load(folder, **given):
    return load_lm("mine", folder, folder.parent / "cache", GivenTokens(**given))


def change(folder, **settings):
    place = folder / "config.json"
    place.write_text(json.dumps({**json.loads(place.read_text()), **settings}))


def weights(folder):
    return load_file(folder / "model.safetensors")


def in_shards(folder):
    named = weights(folder)
    parts = {
        "model-00001-of-00002.safetensors": sorted(named)[::2],
        "model-00002-of-00002.safetensors": sorted(named)[1::2],
    }
    for file, names in parts.items():
        save_file({name: named[name] for name in names}, folder / file)
    index = {"metadata": {}, "weight_map": {name: file for file, names in parts.items() for name in names}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "model.safetensors").unlink()


def pickled(folder):
    torch.save(weights(folder), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def half(folder):
    save_file({n: t.bfloat16() for n, t in weights(folder).items()}, folder / "model.safetensors")


def wrapped(folder):
    save_as_slamkit(tiny_model(CONFIGS["qwen2"]()), folder)


def without_tokeniser(folder):
    wrapped(folder)
    (folder / "tokeniser_config.json").unlink()


def as_twist(folder):
    (folder / "tokeniser_config.json").unlink()
    change(folder, offset=2)


@pytest.mark.parametrize("form", [in_shards, pickled, wrapped, without_tokeniser, as_twist])
def test_the_same_lm_comes_from_every_form_of_its_folder(saved, folder, form):
    form(folder)
    found, whole = load(folder), load_lm("mine", saved, folder.parent / "cache")
    assert found.lm.fingerprint == whole.lm.fingerprint
    assert found.lm.architecture == whole.lm.architecture
    assert found.dictionary.symbols == whole.dictionary.symbols == tuple(map(str, range(UNITS)))


def test_weights_in_half_precision_are_read(folder):
    half(folder)
    assert load(folder).lm.dtype == torch.float32


def test_settings_name_the_tokens_where_the_folder_does_not(saved, folder):
    (folder / "tokeniser_config.json").unlink()
    change(folder, bos_token_id=None, eos_token_id=None)
    found, whole = load(folder, unit_offset=2, bos=1, eos=1), load_lm("mine", saved, folder.parent / "cache")
    assert found.lm.fingerprint == whole.lm.fingerprint


def test_a_dictionary_numbers_tokens_as_fairseq_does(folder):
    (folder / "tokeniser_config.json").unlink()
    write_dictionary(folder / "dict.txt", Dictionary([str(unit) for unit in range(14)]))
    lm = load(folder).lm
    assert lm.architecture.absent == ()
    torch.testing.assert_close(lm.embedding, weights(folder)["model.embed_tokens.weight"])


def test_a_folder_is_imported_once(folder, monkeypatch):
    first = load(folder)
    monkeypatch.setattr(store, "read_weights", lambda _: pytest.fail("read again"))
    again = load(folder)
    assert again.lm.fingerprint == first.lm.fingerprint
    assert again.lm.architecture == first.lm.architecture


def test_other_numbers_are_another_lm(folder):
    (folder / "tokeniser_config.json").unlink()
    given = GivenTokens(unit_offset=2, bos=1, eos=1)
    fingerprints = {load_lm("mine", folder, folder.parent / "cache", one).lm.fingerprint for one in (
        given, replace(given, unit_offset=3), replace(given, eos=0),
    )}  # fmt: skip
    assert len(fingerprints) == 3


def test_a_sliding_window_bounds_the_positions(folder):
    change(folder, use_sliding_window=True, sliding_window=20)
    assert load(folder).lm.architecture.max_positions == 20
    change(folder, sliding_window=999)
    assert load(folder).lm.architecture.max_positions == POSITIONS


def missing_shard(folder):
    in_shards(folder)
    (folder / "model-00002-of-00002.safetensors").unlink()


def an_adapter(folder):
    (folder / "config.json").rename(folder / "adapter_config.json")


def no_weights(folder):
    (folder / "model.safetensors").unlink()


def a_cut_off_file(folder):
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])


def integers(folder):
    save_file(
        {**weights(folder), "model.norm.weight": torch.ones(20, dtype=torch.int8)}, folder / "model.safetensors"
    )


def a_weight_less(folder):
    named = weights(folder)
    del named["model.layers.1.mlp.up_proj.weight"]
    save_file(named, folder / "model.safetensors")


def a_weight_more(folder):
    save_file({**weights(folder), "score.weight": torch.ones(2, 20)}, folder / "model.safetensors")


def a_head_that_is_not_tied(folder):
    save_file({**weights(folder), "lm_head.weight": torch.ones(18, 20)}, folder / "model.safetensors")


def a_wider_layer(folder):
    change(folder, intermediate_size=28)


def a_text_lm(folder):
    (folder / "tokeniser_config.json").unlink()
    change(folder, vocab_size=151936)


def a_wrong_offset(folder):
    as_twist(folder)
    change(folder, offset=UNITS + 2)


def an_offset_into_the_specials(folder):
    as_twist(folder)
    change(folder, offset=1)


def too_many_units(folder):
    write_tokeniser(folder, units=UNITS + 1)


def a_pickle_that_runs(folder):
    torch.save({"a": shutil.rmtree}, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


FAULTS = {
    missing_shard: r"expected all shards of .*index\.json, missing model-00002-of-00002\.safetensors$",
    an_adapter: r"expected a whole LM, got an adapter alone .* \(peft: merge_and_unload\) and save that$",
    no_weights: r"expected model\.safetensors or pytorch_model\.bin, or an index of shards, found none of them$",
    a_cut_off_file: r"model\.safetensors: expected safetensors, got a damaged or cut-off file$",
    integers: r"expected weights in float32, .* got model\.norm\.weight of torch\.int8; quantised .* not read$",
    a_weight_less: r"the weights of 3 qwen2 layers; missing layers\.1\.mlp\.up_proj\.weight; unexpected none$",
    a_weight_more: r"missing none; unexpected score\.weight$",
    a_head_that_is_not_tied: r"missing none; unexpected lm_head\.weight$",
    a_wider_layer: r"lm: unit LM weights: layers\.0\.fc1_weight: expected shape \(56, 20\), got \(54, 20\); ",
    a_text_lm: r"which of 151,936 tokens are units, .*; give lm\.unit_offset, lm\.bos and lm\.eos if ",
    a_wrong_offset: r"expected units and specials among 18 tokens, got an offset of 18; give lm\.unit_offset, ",
    an_offset_into_the_specials: r"expected units in tokens from offset 1 on, got 0 before the next special .*bos 1",
    too_many_units: r"expected 17 in tokens from offset 2 on, got 16 before the next special token or the end of 18 ",
    a_pickle_that_runs: r"expected a file of weights, got an object of shutil\.rmtree, .* nothing in it was run$",
    lambda f: change(f, model_type="mamba"): r"expected model_type opt, .*, speech_language_model, got 'mamba'$",
    lambda f: change(f, auto_map={"AutoModel": "x.Y"}): r"got custom code, which is never run; .* \(auto_map\)$",
    lambda f: change(f, quantization_config={"bits": 4}): r"got quantised weights; .* \(quantization_config\)$",
    lambda f: change(f, num_experts=8): r"got a mixture of experts \(num_experts\)$",
    lambda f: change(f, attn_logit_softcapping=30.0): r"got capped attention scores \(attn_logit_softcapping\)$",
    lambda f: change(f, rope_scaling={"type": "yarn"}): r"got scaled rotary positions \(rope_scaling, type 'yarn'\)$",
    lambda f: change(f, hidden_act="mish"): r"expected hidden_act relu, silu, .*, got 'mish'$",
    lambda f: change(f, num_hidden_layers="3"): r"expected num_hidden_layers of 1 or more, got '3'$",
    lambda f: (f / "config.json").write_text("[1]"): r"config\.json: expected a JSON object, got \[1\]$",
    lambda f: (f / "config.json").write_text("{"): r"config\.json: expected a JSON object, got .*line 1",
}  # fmt: skip


@pytest.mark.parametrize(("spoil", "message"), FAULTS.items(), ids=[*map(str, range(len(FAULTS)))])
def test_a_folder_that_can_not_be_run_is_refused_in_one_line(folder, spoil, message):
    spoil(folder)
    with pytest.raises(CheckpointError, match=message) as caught:
        load(folder)
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)


def test_settings_of_tokens_are_refused_beside_a_fairseq_checkpoint(tmp_path):
    (tmp_path / "checkpoint_best.pt").touch()
    with pytest.raises(CheckpointError, match=r"where lm\.bos=1 is set, got a fairseq checkpoint, whose dict\.txt"):
        load_lm("mine", tmp_path, tmp_path, GivenTokens(bos=1))


def test_the_numbers_of_slamkit_are_its_own(folder):
    assert json.loads((folder / "config.json").read_text())["vocab_size"] == SLAMKIT["vocab_size"]
    architecture = load(folder).lm.architecture
    assert (architecture.start, architecture.absent, architecture.columns) == (2, (0, 3), UNITS + 2)
    assert [architecture.column(index) for index in (0, 1, 2, 4)] == [1, 0, 1, 2]


def test_what_settings_and_prompts_say_of_tokens_is_taken_together():
    told = GivenTokens(unit_offset=2, bos=1, eos=1)
    assert agreed_tokens(GivenTokens(), {}) == GivenTokens()
    assert agreed_tokens(GivenTokens(bos=1), {Path("a"): told, Path("b"): GivenTokens()}) == told
    with pytest.raises(
        CheckpointError, match=r"^b: expected lm\.eos=3, which it was trained with, got 1 from a; take"
    ):
        agreed_tokens(GivenTokens(), {Path("a"): told, Path("b"): GivenTokens(eos=3)})


@pytest.mark.parametrize("found", [[1], {"offset": 1}, {"bos": "1"}])
def test_a_prompt_that_says_it_in_another_form_is_refused(found):
    with pytest.raises(CheckpointError, match=r"^p: expected the LM's unit_offset, bos, eos as numbers, got "):
        lm_tokens_in(Path("p"), {"lm": {"tokens": found}})


@pytest.mark.parametrize("rows", [500, 510])
def test_an_embedding_of_other_rows_than_the_vocabulary_is_refused(folder, rows):
    named = weights(folder)
    named["model.embed_tokens.weight"] = torch.zeros(rows, named["model.embed_tokens.weight"].shape[1])
    save_file(named, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=rf"expected an embedding of \d+ rows, as vocab_size says, got {rows}"):
        load(folder)


def test_a_folder_that_may_not_be_looked_into_is_refused_in_one_line(tmp_path, locked):
    locked(tmp_path)
    with pytest.raises(CheckpointError, match=r"config.json: expected a path that can be looked at, got Permission"):
        load_lm("mine", tmp_path, tmp_path)
