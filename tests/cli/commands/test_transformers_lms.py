"""LMs as SlamKit and TWIST publish them, from end to end on a made-up corpus: search, export, predict, evaluate."""

import json
import shutil
from pathlib import Path

import pytest
from transformers import OPTConfig, Qwen2Config

from tests.cli.shell import SHORT, sp_search
from tests.tiny import ANSWERS, write_tiny_corpus
from tests.transformers_models import save_as_slamkit, tiny_model, write_tokeniser

pytestmark = pytest.mark.slow
UNITS, LINES = 500, 64


def slam(folder):
    """A Qwen2 with shared heads and 502 tokens inside SlamKit's wrapper, tied, its tokeniser beside it."""
    config = Qwen2Config(
        vocab_size=UNITS + 2, hidden_size=32, intermediate_size=50, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=1024, pad_token_id=0, bos_token_id=1, eos_token_id=1,
        tie_word_embeddings=True,
    )  # fmt: skip
    save_as_slamkit(tiny_model(config), folder)
    write_tokeniser(folder, UNITS)


def twist(folder):
    """An OPT as TWIST's 350M: norm behind, tokens projected, unit i is token i + offset."""
    config = OPTConfig(
        vocab_size=UNITS + 4, hidden_size=32, ffn_dim=50, num_hidden_layers=2, num_attention_heads=4,
        word_embed_proj_dim=20, do_layer_norm_before=False, max_position_embeddings=1024, offset=4,
    )  # fmt: skip
    tiny_model(config).save_pretrained(folder)


@pytest.fixture(scope="module", params=[slam, twist], ids=["slam", "twist"])
def searched(in_ray, request, tmp_path_factory):
    """A folder with an LM, a corpus and an ended, exported search, and the search's summary."""
    folder = tmp_path_factory.mktemp(request.param.__name__)
    request.param(folder / "lm")
    write_tiny_corpus(folder / "data")
    words = ["task=intent", "lm=lm", "data=data", *SHORT, "study=tiny", "trials=2", "cluster.workers=1"]
    words += ["schedule.budget=256", "schedule.confirm.seeds=1", "schedule.final.seeds=0", "dtype=float32"]
    done = sp_search(folder, "search", *words, "tracking.enabled=false")
    sp_search(folder, "export", "study=tiny", "to=exported")
    return folder, json.loads(Path(done.stdout.splitlines()[-1]).read_text())


def predicted(folder, lines):
    done = sp_search(folder, "predict", "prompt=exported", "lm=lm", "input=-", stdin="".join(lines))
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_search_on_it_names_a_winner(searched):
    _, summary = searched
    assert summary["lm"]["name"] == "lm"
    assert summary["trials"]["failed"] == 0
    assert summary["best"]["test"]["accuracy"] >= 0


def test_answers_are_the_same_in_batches_of_1_and_64(searched):
    folder, _ = searched
    lines = [f"{line.partition(' <s>')[0]}\n" for line in (folder / "data/train.txt").read_text().splitlines()]
    lines = (lines * 2)[:LINES]
    together, alone = predicted(folder, lines), [predicted(folder, [line])[0] for line in lines[:4]]
    assert len(together) == LINES
    assert {tuple(found["labels"]) for found in together} <= set(ANSWERS)
    for one, among in zip(alone, together, strict=False):
        assert one["labels"] == among["labels"]
        assert one["score"] == pytest.approx(among["score"], abs=1e-4)


def test_evaluate_finds_what_the_search_found(searched):
    folder, summary = searched
    found = json.loads(sp_search(folder, "evaluate", "lm=lm", "data=data", "prompt=exported").stdout)
    assert found["metrics"]["accuracy"] == pytest.approx(summary["best"]["test"]["accuracy"], abs=1e-6)


def with_tokens(folder, name, tokens):
    """A copy of the exported folder whose search was told what the LM's tokens are."""
    place = shutil.copytree(folder / "exported", folder / name) / "prompt.json"
    document = json.loads(place.read_text())
    place.write_text(json.dumps({**document, "lm": {**document["lm"], "tokens": tokens}}))


@pytest.fixture
def silent(searched):
    """The folder, its LM's no longer saying which tokens are units, and the keys that say it."""
    folder, _ = searched
    place = folder / "lm/config.json"
    whole = place.read_text()
    bare = json.loads(whole)
    if "base_config" in bare:
        bare["base_config"]["pad_token_id"] = None  # of which SlamKit's rule makes the offset
        (folder / "lm/tokeniser_config.json").unlink(missing_ok=True)
        tokens = {"unit_offset": 2, "bos": 1, "eos": 1}
    else:
        del bare["offset"]
        tokens = {"unit_offset": 4, "bos": 2, "eos": 2}
    place.write_text(json.dumps(bare))
    yield folder, tokens
    place.write_text(whole)


def test_what_the_folder_does_not_say_is_asked_for_by_key(silent):
    folder, tokens = silent
    failed = sp_search(folder, "plan", "task=intent", "lm=lm", "data=data", expect=2).stderr
    assert "give lm.unit_offset, lm.bos and lm.eos" in failed
    assert failed.count("\n") == 1
    words = [f"lm.{name}={token}" for name, token in tokens.items()]
    assert "2 layers x 32" in sp_search(folder, "plan", "task=intent", "lm=lm", "data=data", *words).stdout


def test_a_prompt_whose_search_was_told_the_tokens_need_not_be_told_again(silent):
    folder, tokens = silent
    if tokens["unit_offset"] == 2:
        pytest.skip("Slam's folder without its pad is another LM")
    place = shutil.copytree(folder / "exported", folder / "told") / "prompt.json"
    document = json.loads(place.read_text())
    place.write_text(json.dumps({**document, "lm": {**document["lm"], "tokens": tokens}}))
    asked, line = ["predict", "lm=lm", "input=-"], "3 1 4\n"
    assert "give lm.unit_offset" in sp_search(folder, *asked, "prompt=exported", stdin=line, expect=2).stderr
    words = [f"lm.{name}={token}" for name, token in tokens.items()]
    wanted = sp_search(folder, *asked, "prompt=exported", *words, stdin=line).stdout
    assert sp_search(folder, *asked, "prompt=told", stdin=line).stdout == wanted
    assert json.loads(sp_search(folder, "evaluate", "prompt=told", "lm=lm", "data=data").stdout)["metrics"]
    failed = sp_search(folder, *asked, "prompt=told", "lm.bos=7", stdin=line, expect=2).stderr
    assert failed == (
        f"sp-search: {folder}/told: expected lm.bos=2, which it was trained with, got 7 from the settings; "
        f"take it out, or take the prompt that belongs to it\n"
    )
