"""`bench engine`, `bench decode` and `bench papers` on a made-up corpus and a random LM; `bench slots`."""

import json
from pathlib import Path

import pytest

from sp_search.bench.papers.fairseq_lm import fairseq_decoder
from sp_search.bench.strategies.curves import read_curves
from sp_search.cli.main import main
from sp_search.errors import ConfigError
from tests.other_architectures import OTHERS, other_lm
from tests.tiny import write_tiny_corpus

SIZES = {"lm", "data", "batch_size", "trials", "dtype", "device", "threads"}
SIZES |= {"prompt_length", "depth", "side", "position"}
RATES = {"utterances_per_s", "tokens_per_s"}
OURS = {"utterances_per_s_and_trial", "gflop_per_s", "matrix_gflop_per_s", "matrix_share", "peak_memory_bytes"}


@pytest.fixture
def words(tmp_path):
    write_tiny_corpus(tmp_path / "data")
    return ["lm=random:2x16x2", f"data={tmp_path}/data", f"cache={tmp_path}", "engine.threads=1", "engine.device=cpu"]


def test_bench_engine_prints_one_line_with_the_ratio_to_fairseq(words, capsys):
    own = ["prompt_length=3", "depth=1", "side=bottom", "trials=2", "batch_size=4", "dtype=float32"]
    assert main(["bench", "engine", *words, *own, "baseline=fairseq", "updates=1", "stretches=1"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    found = json.loads(line)
    assert set(found) == SIZES | RATES | OURS | {"baseline", "ratio"}
    assert {name: found[name] for name in SIZES} == {
        "lm": "random:2x16x2", "data": "data", "prompt_length": 3, "depth": 1, "side": "bottom",
        "position": "prefix", "batch_size": 4, "trials": 2, "dtype": "float32", "device": "cpu", "threads": 1,
    }  # fmt: skip
    assert set(found["baseline"]) == {"name", "dtype", "trials"} | RATES
    ratio = found["utterances_per_s"] / found["baseline"]["utterances_per_s"]
    assert found["ratio"] == pytest.approx(ratio, rel=0.02)


def test_bench_engine_sets_a_pack_beside_one_of_its_trials(words, capsys):
    own = ["trials=3", "batch_size=4", "dtype=float32", "depth=1", "baseline=alone", "updates=1", "stretches=1"]
    assert main(["bench", "engine", *words, *own]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["trials"], found["baseline"]["trials"], found["baseline"]["dtype"]) == (3, 1, "float32")
    ratio = found["utterances_per_s"] / found["baseline"]["utterances_per_s"]
    assert found["ratio"] == pytest.approx(ratio, rel=0.02)


def test_fairseq_runs_no_lm_of_another_architecture():
    with pytest.raises(ConfigError, match=r"baseline: expected a fairseq transformer_lm .*; take baseline=engine$"):
        fairseq_decoder(other_lm(OTHERS["parallel"]), "baseline=engine")


def test_bench_engine_without_a_baseline_is_of_the_papers_setting(words, capsys):
    assert main(["bench", "engine", *words, "updates=1", "stretches=1"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == SIZES | RATES | OURS
    assert [found[name] for name in ("prompt_length", "depth", "batch_size", "trials")] == [6, 2, 32, 1]


@pytest.mark.parametrize("baseline", ["fairseq", "engine"])
def test_bench_papers_trains_a_part_of_the_corpus_and_tells_each_epoch(words, capsys, tmp_path, baseline):
    own = [f"runs={tmp_path}/runs", "train_utterances=34", "max_epochs=2", "batch_size=8", f"baseline={baseline}"]
    assert main(["bench", "papers", *words, *own]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert [line.partition(",")[0].rpartition(" ")[0] for line in err.splitlines()] == [
        "epoch 1: valid loss", "epoch 2: valid loss",
    ]  # fmt: skip
    assert (found["train_utterances"], found["epochs"], found["params"]["lr"]) == (34, 2, 0.005)
    assert found["baseline"] == baseline
    assert set(found["test"]) == set(found["valid"]) == {"accuracy", "loss"}


@pytest.mark.parametrize("shape", [[], ["position=infix", "depth=1"]], ids=["prefix", "infix"])
def test_bench_decode_writes_the_same_with_the_cache_and_without(words, capsys, shape):
    own = ["utterances=5", "symbols=30", "dtype=float32", *shape]
    assert main(["bench", "decode", *words, *own]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {
        "lm", "data", "utterances", "symbols_written", "dtype", "device", "threads", "cached_s", "full_s", "ratio",
        "same",
    }  # fmt: skip
    assert (found["same"], found["utterances"], found["dtype"]) == (True, 5, "float32")
    assert 100 < found["symbols_written"] <= 150


@pytest.mark.long
def test_bench_peft_prints_a_line_for_each_way_of_peft_and_each_pack(words, capsys):
    own = ["lms=opt:1x16x2", "packs=2", "batch_size=4", "updates=1", "stretches=1", "dtype=float32", "depth=1"]
    assert main(["bench", "peft", *words[1:], *own]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    about = {"lm", "processor", "prompt_length", "depth", "side", "position", "batch_size"}
    counted = {"by", "arithmetic", "trials", "threads", "peak_memory_bytes"}
    counted |= {"utterances_per_s", "utterances_per_cpu_s"}
    rates = {"gflop_per_s", "matrix_gflop_per_s", "matrix_share"}
    assert [set(line) for line in lines] == [
        about | counted | {"attention"}, about | counted | {"attention"},
        about | counted | rates | {"ratio", "cpu_ratio", "baseline"},
    ]  # fmt: skip
    assert [(line["by"], line["arithmetic"], line["trials"]) for line in lines] == [
        ("peft", "float32", 1), ("peft", "float32", 1), ("engine", "float32", 2),
    ]  # fmt: skip
    ratio = lines[2]["utterances_per_s"] / lines[2]["baseline"]["utterances_per_s"]
    assert lines[2]["ratio"] == pytest.approx(ratio, rel=0.02)


@pytest.mark.long
def test_bench_peft_searches_beside_a_plain_tuner_around_peft(words, capsys):
    small = ["lms=qwen2:1x16x2", "trials=2", "schedule.budget=32", "schedule.grace=16", "batch_size=8", "updates=1"]
    assert main(["bench", "peft", *words[1:], *small, "stretches=1", "dtype=float32", "search=true"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (found["trials"], sum(found["ended"].values()), found["ended"]["failed"]) == (2, 2, 0)
    assert 32 <= found["plain"]["utterances"] <= 64
    assert found["ratio"] == pytest.approx(found["plain"]["s"] / found["s"], abs=0.02)


@pytest.mark.long
def test_bench_slots_searches_with_idle_trials_and_lets_a_plain_tuner_do_the_same(capsys):
    own = ["trials=6", "cluster.slots=2", "cluster.workers=1", "plain_trials=2"]
    sizes = [*own, "schedule.confirm.top=1", "schedule.confirm.seeds=2"]
    assert main(["bench", "slots", *sizes]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["trials"], sum(found["ended"].values()), found["ended"]["failed"]) == (6, 6, 0)
    plain = found["plain"]
    assert plain["s_for_as_many"] == pytest.approx(plain["s"] + 4 * plain["s_per_trial"], abs=0.1)
    assert found["ratio"] == pytest.approx(plain["s_for_as_many"] / found["s"], abs=0.06)
    assert 0 < found["ratio_to_upload"] <= found["ratio"]


@pytest.mark.parametrize(
    ("command", "word", "fault"),
    [
        (
            "engine",
            "space=intent",
            "space: expected one value for each parameter, got a range for position, prompt_length, depth",
        ),
        ("engine", "updates=0", "updates: expected 1 or more, got 0"),
        ("engine", "baseline=ours", "baseline: expected none or fairseq or alone, got 'ours'"),
        ("decode", "symbols=0", "symbols: expected 1 or more, got 0"),
        ("papers", "baseline=ours", "baseline: expected fairseq or engine, got 'ours'"),
        ("slots", "plain_trials=1", "plain_trials: expected 0, or 2 or more, got 1"),
        ("peft", "lms=bert:1x16x2", "lms: expected a folder, or a shape as qwen2:4x256x4, got 'bert:1x16x2'"),
        ("papers", "patience=0", "patience: expected 1 or more, got 0"),
    ],
)
def test_a_wrong_word_ends_with_2_and_one_line(words, capsys, command, word, fault):
    assert main(["bench", command, *words, word]) == 2
    assert capsys.readouterr().err.startswith(f"sp-search: {fault}")


def test_bench_gpu_prints_a_line_for_each_lm_with_parity_and_every_pack(words, capsys):
    own = ["lms=random:2x16x2 random:1x24x3", "packs=1 3", "batch_size=4", "updates=1", "stretches=1"]
    assert main(["bench", "gpu", *words, *own, "dtype=float32"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["lm"] for line in lines] == ["random:2x16x2", "random:1x24x3"]
    for line in lines:
        assert (line["device"], line["dtype"], line["prompt_length"], line["batch_size"]) == ("cpu", "float32", 20, 4)
        assert line["parity"]["float32"] == {"loss": 0.0, "gradient": 0.0}  # the CPU beside itself
        assert 0 < line["parity"]["bfloat16"]["gradient"] < 0.2
        assert [pack["trials"] for pack in line["packs"]] == [1, 3]
        for pack in line["packs"]:  # no upper bound: beside other tests the matrix product may be the slower one
            assert pack["matrix_share"] > 0
            assert pack["utterances_per_s"] > 0


def test_bench_gpu_refuses_a_pack_of_nothing(words, capsys):
    assert main(["bench", "gpu", *words, "packs=1 0 x"]) == 2
    assert (
        "packs: expected numbers from 1, got '0'; packs: expected numbers from 1, got 'x'" in capsys.readouterr().err
    )


@pytest.mark.long
def test_curves_are_recorded_once_and_ways_to_search_compared_on_them(words, capsys, tmp_path):
    """Four settings and the hand-set ones, then two of them under three seeds; the second start has nothing to do."""
    file = f"{tmp_path}/curves.jsonl"
    sizes = ["trials=4", "schedule.budget=128", "schedule.grace=32", "batch_size=4", "schedule.chunk_updates=2"]
    record = ["bench", "curves", *words, *sizes, f"to={file}", "pack=4", "processes=1", "top=2", "repeats=3"]
    assert main(record) == 0
    _, curves = read_curves(Path(file))
    assert {len(curve.points) for curve in curves} == {7}
    assert sum(curve.number >= 0 and curve.valid is None for curve in curves) == 4
    assert sum(curve.number < 0 and curve.valid is None for curve in curves) == 3
    assert sum(curve.valid is not None for curve in curves) == 6
    before = Path(file).read_bytes()
    assert main(record) == 0
    assert Path(file).read_bytes() == before
    capsys.readouterr()
    compare = ["bench", "strategies", f"curves={file}", "schedule.grace=32", "ways=as set;first trials", "seeds=2"]
    assert main([*compare, "schedule.confirm.top=2", "races=5", "utterances=2"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["way"] for line in lines if "way" in line] == ["random", "as set", "first trials"]
    assert [line["behind"] for line in lines if "race" in line] == [None, 0.5, 1.0, 1.5, 2.0, 3.0]
    assert main([*compare[:-1], "schedule.grace=30"]) == 2
    refused = capsys.readouterr().err
    assert "schedule.grace: expected one of the points of" in refused
    assert "; got 30; set schedule.grace" in refused
    assert main([*compare, "schedule.grace=8", "schedule.budget=32", "utterances=2"]) == 0, (
        "a quarter, as 32 of 128 is"
    )
    assert main([*record, "schedule.seed=1", "schedule.budget=64"]) == 2
    assert "curves.jsonl: expected curves of this search, got some of another" in capsys.readouterr().err


def test_curves_go_to_a_folder_that_can_be_written_before_anything_is_read(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sp_search.cli.commands.bench_curves.prepare_search", lambda _: pytest.fail("read"))
    assert main(["bench", "curves", "to=/dev/null/curves.jsonl"]) == 2
    assert "to: expected a folder that can be written, got /dev/null (a file" in capsys.readouterr().err
