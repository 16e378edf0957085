"""The whole build, tiny, and what is committed of the large one."""

import dataclasses
import gzip
import json
from importlib.resources import files
from pathlib import Path

import pytest
import torch

from sp_search.demo.build import DEMO, build, build_data
from sp_search.demo.corpus import plan, plan_requests, plan_words
from sp_search.demo.grammar import intents
from sp_search.demo.unit_lm import build as build_model
from sp_search.demo.unit_lm import unit_dictionary
from sp_search.lm.zoo import load_lm
from sp_search.metrics.measures import measure
from sp_search.rivals.choose import fit_rivals
from sp_search.tasks.label_space import LabelSpace
from sp_search.tasks.registry import TASKS
from sp_search.units.dictionary import Dictionary
from sp_search.units.manifest import load_corpus
from sp_search.units.quantizer import Quantizer

ASSETS = Path(str(files("sp_search.demo") / "assets"))
FILES = [
    "data/test.jsonl.gz", "data/train.jsonl.gz", "data/valid.jsonl.gz", "lm/checkpoint_best.pt", "lm/dict.txt",
    "meta.json", "quantizer.safetensors",
]  # fmt: skip
OF_DEMO = {name: task for name, task in TASKS.items() if name != "label"}  # a corpus of one's own has that
LARGEST = 12_000_000  # bytes, of all assets together
TINY = dataclasses.replace(
    DEMO,
    utterances={"train": 60, "valid": 30, "test": 30, "pool": 40},
    words={"train": 24, "valid": 24, "test": 24},
    requests={"train": 40, "valid": 10, "test": 12},
    units=20,
    quantizer_utterances=20,
    lm=dataclasses.replace(DEMO.lm, layers=1, embed_dim=16, attention_heads=2, epochs=1),
)


def files_in(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def records(path):
    return [json.loads(line) for line in gzip.open(path, "rt", encoding="utf-8")]


@pytest.mark.long
def test_a_build_from_nothing_gives_a_corpus_and_an_lm_that_load_together(tmp_path):
    told = []
    meta = build(tmp_path, TINY, processes=2, tell=told.append)
    loaded = load_lm("tiny", tmp_path / "lm", tmp_path / "cache")
    corpus = load_corpus(tmp_path / "data", loaded.dictionary, "tiny")
    assert files_in(tmp_path / "data") + files_in(tmp_path / "lm") == [
        "test.jsonl.gz", "train.jsonl.gz", "valid.jsonl.gz", "checkpoint_best.pt", "dict.txt"
    ]  # fmt: skip
    words = load_corpus(tmp_path / "data", loaded.dictionary, "tiny", field="keyword")
    assert {name: len(split) for name, split in corpus.splits.items()} == {"train": 60, "valid": 30, "test": 30}
    assert {name: len(split) for name, split in words.splits.items()} == {"train": 24, "valid": 24, "test": 24}
    assert json.loads((tmp_path / "meta.json").read_text()) == json.loads(json.dumps(meta))
    assert len(told) == 7
    texts = load_corpus(tmp_path / "data", loaded.dictionary, "tiny", field="text")
    assert {name: len(split) for name, split in texts.splits.items()} == {"train": 100, "valid": 40, "test": 42}
    before = {path: (tmp_path / path).read_bytes() for path in FILES}
    (tmp_path / "data" / "test.jsonl.gz").unlink()
    again = build_data(tmp_path, TINY, processes=2, tell=told.append)
    assert json.loads(json.dumps(again)) == json.loads(json.dumps(meta))
    assert {path: (tmp_path / path).read_bytes() for path in FILES} == before


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
        name: DEMO.utterances[name] + DEMO.words[name] + DEMO.requests[name] for name in splits
    }
    variants = {
        name: {record["voice"].split("+")[1] for record in split if record["voice"]} for name, split in splits.items()
    }
    assert not variants["train"] & (variants["valid"] | variants["test"])
    assert not variants["valid"] & variants["test"]
    for name, split in splits.items():
        commands = split[: DEMO.utterances[name]]
        assert {tuple(record["labels"]) for record in commands} == set(intents())
        assert list(split[0]) == ["id", "units", "labels", "text", "slots", "keyword", "voice"]
        assert len({record["units"] for record in commands}) == len(commands)


def test_the_committed_lines_are_those_that_were_planned():
    for split in ("train", "valid", "test"):
        planned = [
            *plan(split, DEMO.utterances[split], DEMO.seed),
            *plan_words(split, DEMO.words[split], DEMO.seed),
            *plan_requests(split, DEMO.requests[split], DEMO.seed),
        ]
        wanted = [
            (u.id, json.loads(json.dumps(u.said.fields())), u.manner.voice if u.said.text else None) for u in planned
        ]
        fields = ("labels", "text", "slots", "keyword")
        found = [
            (record["id"], {name: record[name] for name in fields}, record["voice"])
            for record in records(ASSETS / "data" / f"{split}.jsonl.gz")
        ]
        assert found == wanted


def test_the_intents_are_those_that_results_were_reported_on():
    corpus = load_corpus(ASSETS / "data", Dictionary.load(ASSETS / "lm" / "dict.txt"), "demo")
    assert corpus.fingerprint == "541447d9032bf2db2eb64d44e9c81e8c1138da3947d4be0a5504749cac6d8a21"


@pytest.mark.parametrize("task", OF_DEMO.values(), ids=OF_DEMO)
def test_every_task_finds_its_answers_in_the_committed_corpus(task):
    corpus = load_corpus(ASSETS / "data", Dictionary.load(ASSETS / "lm" / "dict.txt"), "demo", field=task.field)
    counts = [DEMO.words] if task.name == "keyword" else [DEMO.utterances]
    counts += [DEMO.requests] if task.name in ("asr", "slots") else []
    assert {name: len(split) for name, split in corpus.splits.items()} == {
        name: sum(of[name] for of in counts) for name in corpus.splits
    }
    of_train = LabelSpace.from_split(corpus.splits["train"], task)
    for name in ("valid", "test"):
        assert set(LabelSpace.from_split(corpus.splits[name], task).symbols) <= set(of_train.symbols)


def test_sentences_of_the_committed_test_split_are_heard_before_if_commands_and_new_if_requests():
    train, test = (records(ASSETS / "data" / f"{name}.jsonl.gz") for name in ("train", "test"))
    heard = {record["text"] for record in train}
    commands = [record for record in test if record["labels"]]
    requests = [record for record in test if "-request-" in record["id"]]
    assert sum(record["text"] in heard for record in commands) > 0.99 * len(commands)
    assert not any(record["text"] in heard for record in requests)
    for field in ("text", "slots"):
        known = {word for record in train if record[field] for word in record[field].split()}
        assert {word for record in requests for word in record[field].split()} <= known


@pytest.mark.slow
@pytest.mark.parametrize(("task", "most"), [("keyword", 0.98), ("intent", 0.95), ("asr", 0.75), ("slots", 0.9)])
def test_the_committed_corpus_has_the_rivals_that_are_told_of_it(task, most):
    told = json.loads((ASSETS / "meta.json").read_text())["rivals"]
    assert list(told) == list(OF_DEMO)
    dictionary = Dictionary.load(ASSETS / "lm" / "dict.txt")
    splits = load_corpus(ASSETS / "data", dictionary, "demo", field=TASKS[task].field).splits
    decides, test = TASKS[task].decides, splits["test"]
    found = {
        rival.name: measure([decides], rival.answers(test), test.answers)[decides].value
        for rival in fit_rivals(TASKS[task], splits)
    }
    assert found == pytest.approx({name: of_splits["test"] for name, of_splits in told[task].items()}, abs=1e-2)
    assert max(found.values()) <= most


def test_fairseq_builds_the_committed_lm_and_takes_all_its_weights(tmp_path):
    checkpoint = torch.load(ASSETS / "lm" / "checkpoint_best.pt", weights_only=False)  # our own file
    model = build_model(checkpoint["args"], unit_dictionary(DEMO.units))
    assert model.load_state_dict(checkpoint["model"], strict=True)
    loaded = load_lm("demo", None, tmp_path)
    weight = model.decoder.layers[0].fc1.weight.detach()
    torch.testing.assert_close(loaded.lm.layers[0].fc1_weight, weight, rtol=0, atol=1e-6)
    assert loaded.lm.architecture.layers == DEMO.lm.layers
