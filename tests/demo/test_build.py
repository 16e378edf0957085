"""The whole build, tiny, and what is committed of the large one."""

import dataclasses
import gzip
import json
from importlib.resources import files
from pathlib import Path

import pytest
import torch

from sp_search.demo.build import DEMO, build
from sp_search.demo.grammar import intents
from sp_search.demo.unit_lm import build as build_model
from sp_search.demo.unit_lm import unit_dictionary
from sp_search.lm.zoo import load_lm
from sp_search.metrics.naive_bayes import naive_bayes_accuracy
from sp_search.units.dictionary import Dictionary
from sp_search.units.manifest import load_corpus
from sp_search.units.quantizer import Quantizer

ASSETS = Path(str(files("sp_search.demo") / "assets"))
FILES = [
    "data/test.jsonl.gz", "data/train.jsonl.gz", "data/valid.jsonl.gz", "lm/checkpoint_best.pt", "lm/dict.txt",
    "meta.json", "quantizer.safetensors",
]  # fmt: skip
LARGEST = 12_000_000  # bytes, of all assets together
TINY = dataclasses.replace(
    DEMO,
    utterances={"train": 60, "valid": 30, "test": 30, "pool": 40},
    units=20,
    quantizer_utterances=20,
    lm=dataclasses.replace(DEMO.lm, layers=1, embed_dim=16, attention_heads=2, epochs=1),
)


def files_in(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def records(path):
    return [json.loads(line) for line in gzip.open(path, "rt", encoding="utf-8")]


@pytest.mark.slow
def test_a_build_from_nothing_gives_a_corpus_and_an_lm_that_load_together(tmp_path):
    told = []
    meta = build(tmp_path, TINY, processes=2, tell=told.append)
    loaded = load_lm("tiny", tmp_path / "lm", tmp_path / "cache")
    corpus = load_corpus(tmp_path / "data", loaded.dictionary, "tiny")
    assert files_in(tmp_path / "data") + files_in(tmp_path / "lm") == [
        "test.jsonl.gz", "train.jsonl.gz", "valid.jsonl.gz", "checkpoint_best.pt", "dict.txt"
    ]  # fmt: skip
    assert {name: len(split) for name, split in corpus.splits.items()} == {"train": 60, "valid": 30, "test": 30}
    assert json.loads((tmp_path / "meta.json").read_text()) == json.loads(json.dumps(meta))
    assert len(told) == 7


def test_the_committed_assets_are_whole_and_small():
    assert files_in(ASSETS) == FILES
    assert sum(path.stat().st_size for path in ASSETS.rglob("*") if path.is_file()) < LARGEST


def test_the_committed_assets_were_made_with_the_committed_settings():
    meta = json.loads((ASSETS / "meta.json").read_text())
    assert meta["settings"] == json.loads(json.dumps(dataclasses.asdict(DEMO)))
    assert Quantizer.load(ASSETS / "quantizer.safetensors").features == DEMO.features


def test_the_committed_corpus_has_every_intent_in_every_split_and_no_voice_in_two():
    splits = {name: records(ASSETS / "data" / f"{name}.jsonl.gz") for name in ("train", "valid", "test")}
    assert {name: len(split) for name, split in splits.items()} == {
        name: DEMO.utterances[name] for name in ("train", "valid", "test")
    }
    variants = {name: {record["voice"].split("+")[1] for record in split} for name, split in splits.items()}
    assert not variants["train"] & (variants["valid"] | variants["test"])
    assert not variants["valid"] & variants["test"]
    for split in splits.values():
        assert {tuple(record["labels"]) for record in split} == set(intents())
        assert list(split[0]) == ["id", "units", "labels", "text", "voice"]
        assert len({record["units"] for record in split}) == len(split)


def test_naive_bayes_is_neither_lost_nor_at_home_in_the_committed_corpus():
    corpus = load_corpus(ASSETS / "data", Dictionary.load(ASSETS / "lm" / "dict.txt"), "demo")
    reached = {name: naive_bayes_accuracy(corpus.splits["train"], corpus.splits[name]) for name in ("valid", "test")}
    told = json.loads((ASSETS / "meta.json").read_text())["naive_bayes_accuracy"]
    assert reached == pytest.approx(told, abs=1e-3)
    assert 0.55 <= reached["test"] <= 0.82


def test_fairseq_builds_the_committed_lm_and_takes_all_its_weights(tmp_path):
    checkpoint = torch.load(ASSETS / "lm" / "checkpoint_best.pt", weights_only=False)  # our own file
    model = build_model(checkpoint["args"], unit_dictionary(DEMO.units))
    assert model.load_state_dict(checkpoint["model"], strict=True)
    loaded = load_lm("demo", None, tmp_path)
    weight = model.decoder.layers[0].fc1.weight.detach()
    torch.testing.assert_close(loaded.lm.layers[0].fc1_weight, weight, rtol=0, atol=1e-6)
    assert loaded.lm.architecture.layers == DEMO.lm.layers
