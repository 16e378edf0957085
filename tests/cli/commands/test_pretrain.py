"""`sp-search pretrain` as a user meets it."""

import json

import pytest

from sp_search.cli.main import main
from tests.tiny import write_tiny_corpus

SMALL = [
    "layers=2", "embed_dim=16", "ffn_embed_dim=32", "attention_heads=2", "max_positions=64", "lr=0.01",
    "warmup_updates=5", "updates=12", "batch_tokens=256", "pass_tokens=256", "valid_every=6", "engine.threads=1",
    "engine.device=cpu",
]  # fmt: skip


@pytest.fixture
def data(tmp_path):
    """A labelled corpus of sixteen units."""
    return write_tiny_corpus(tmp_path / "data", train=60, valid=20, test=20)


@pytest.mark.slow
def test_units_become_an_lm_that_a_search_takes(data, tmp_path, capsys):
    assert main(["pretrain", f"corpus={data}", f"to={tmp_path / 'my lm'}", *SMALL]) == 0
    out, err = capsys.readouterr()
    assert out == f"{tmp_path / 'my lm'}\n"
    assert err.splitlines()[:2] == [
        "corpus: train.txt: units <s> labels, 60 utterances",
        "corpus: valid.txt: units <s> labels, 20 utterances",
    ]
    assert err.splitlines()[2].startswith("16 units; 60 utterances of ")
    assert err.splitlines()[-1].startswith("12 of 12 updates: perplexity ")
    meta = json.loads((tmp_path / "my lm" / "meta.json").read_text())
    assert set(meta) == {
        "corpus", "quantizer_fingerprint", "units", "recipe", "data", "updates", "perplexity", "versions",
    }  # fmt: skip
    assert (meta["quantizer_fingerprint"], meta["units"]) == (None, {"repeats": meta["units"]["repeats"]})
    assert (meta["updates"], meta["recipe"]["layers"], meta["data"]["utterances"]["valid"]) == (12, 2, 20)
    assert main(["plan", f"lm={tmp_path / 'my lm'}", f"data={data}", f"cache={tmp_path / 'cache'}"]) == 0
    assert "LM my lm: 2 layers x 16; data data: 60 utterances to train on" in capsys.readouterr().out


MISTAKES = {
    "a shape that can't be": (
        ["embed_dim=15"],
        "sp-search: embed_dim: expected an even multiple of 2 attention_heads, got 15\n",
    ),
    "a share of nothing": (["valid_share=0.0"], "sp-search: valid_share: expected above 0 and below 1, got 0.0\n"),
    "a dictionary that is not there": (
        ["dictionary=nowhere.txt"],
        "nowhere.txt: expected a fairseq dictionary (dict.txt), found no such file\n",
    ),
    "a GPU that is not there": (
        ["engine.device=cuda"],
        "sp-search: engine.device: expected auto or cpu where torch finds no GPU, got cuda\n",
    ),
}


@pytest.mark.parametrize(("words", "line"), MISTAKES.values(), ids=MISTAKES)
def test_a_users_mistake_is_one_line_and_2(data, tmp_path, capsys, monkeypatch, words, line):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert main(["pretrain", f"corpus={data}", f"to={tmp_path / 'lm'}", *SMALL, *words]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.endswith(line)


def test_a_folder_without_a_split_to_measure_on_is_refused(data, tmp_path, capsys):
    (data / "valid.txt").unlink()
    assert main(["pretrain", f"corpus={data}", f"to={tmp_path / 'lm'}", *SMALL]) == 2
    assert "data: expected a file of the valid split" in capsys.readouterr().err
