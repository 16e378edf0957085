"""What evaluate, predict, export and prepare say and refuse of the units and the folders that they are given."""

import json
import lzma
import os
import re
import threading
import unicodedata

import pytest

from sp_search.cli.commands.evaluate import EvaluateSettings
from sp_search.cli.exported.unit_checks import lines_on_corpus
from sp_search.cli.main import main
from sp_search.cli.settings.compose import load_settings
from sp_search.engine.trial.task_data import task_data
from sp_search.errors import CheckpointError
from sp_search.lm.zoo import load_lm
from sp_search.tasks.registry import get_task
from sp_search.units.manifest import load_corpus
from tests.export.winner import DEEP, train_and_export
from tests.tiny import no_scores, write_tiny_corpus
from tests.units.speech import quantizer

LM = "random:2x16x2"
FORM = re.compile(r"sp-search: (data|input): .*, [\d,]+ utterances?$")
"""What a file of a corpus was read as."""


def meta(folder, fingerprint):
    (folder / "meta.json").write_text(json.dumps({"quantizer_fingerprint": fingerprint}))


@pytest.fixture
def given(tmp_path):
    """A corpus that names its quantizer, and a prompt that was trained on it."""
    data, loaded = write_tiny_corpus(tmp_path / "data"), load_lm(LM, None, tmp_path / "cache")
    meta(data, quantizer().fingerprint)
    corpus = load_corpus(data, loaded.dictionary, "data")
    of_task = task_data(corpus, loaded.dictionary, get_task("intent"), no_scores)
    train_and_export(tmp_path, DEEP, quantizer(), loaded.lm, of_task)
    return tmp_path


@pytest.fixture
def run(given, capfd):
    def command(name, *words):
        code = main([name, f"lm={LM}", f"prompt={given / 'best'}", "engine.dtype=float32", *map(str, words)])
        out, err = capfd.readouterr()
        return code, out, [line for line in err.splitlines() if not FORM.match(line)]

    return command


def known_repeats(given, share):
    path = given / "best" / "prompt.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"units": {"repeats": share}}))


def test_a_corpus_of_the_prompts_quantizer_is_measured_without_a_word(given, run):
    code, out, err = run("evaluate", f"data={given / 'data'}")
    assert (code, err) == (0, [])
    assert json.loads(out)["utterances"] == 12


def test_evaluate_says_what_each_file_was_taken_for(given, capfd):
    text = (given / "data" / "train.txt").read_bytes()
    (given / "data" / "train.txt").write_bytes(lzma.compress(text))
    assert main(["evaluate", f"lm={LM}", f"prompt={given / 'best'}", f"data={given / 'data'}"]) == 0
    assert [line for line in capfd.readouterr().err.splitlines() if line.startswith("sp-search: data: ")] == [
        f"sp-search: data: {name}.txt: units <s> labels, {count} utterances"
        for name, count in (("train", 40), ("valid", 12), ("test", 12))
    ]


def test_predict_says_what_its_input_was_taken_for(given, capfd, tmp_path):
    path = tmp_path / "asked"
    for text, form in (
        ("71 12\n", "units <s> labels"),
        ('{"units": [71]}\n', "JSON lines"),
        ("a|7\n", "name|units|labels"),
    ):
        path.write_text(text)
        assert main(["predict", f"lm={LM}", f"prompt={given / 'best'}", f"input={path}"]) == 0
        assert f"sp-search: input: {path}: {form}, 1 utterance" in capfd.readouterr().err.splitlines()


def test_a_corpus_of_another_quantizer_is_refused_in_one_line_with_both_fingerprints(given, run):
    meta(given / "data", "cd" * 32)
    for words in (["evaluate", f"data={given / 'data'}"], ["predict", f"input={given / 'data' / 'test.txt'}"]):
        code, out, err = run(*words)
        assert (code, out, len(err)) == (2, "", 1)
        assert f"expected units of the quantizer {quantizer().fingerprint[:12]}" in err[0]
        assert "got units of the quantizer cdcdcdcdcdcd; " in err[0]


def test_a_refused_corpus_is_one_line_and_nothing_else(given, capfd):
    meta(given / "data", "cd" * 32)
    assert main(["evaluate", f"lm={LM}", f"prompt={given / 'best'}", f"data={given / 'data'}"]) == 2
    assert len(capfd.readouterr().err.splitlines()) == 1


def test_a_corpus_that_does_not_know_its_quantizer_is_one_line(given, run):
    (given / "data" / "meta.json").unlink()
    code, _, err = run("evaluate", f"data={given / 'data'}")
    assert (code, len(err)) == (0, 1)
    assert err[0].startswith(
        f"sp-search: the corpus {given / 'data'} does not say which quantizer made its units, and the prompt"
    )
    assert run("predict", f"input={given / 'data' / 'test.txt'}")[2] == []


def test_other_repeats_than_those_the_prompt_was_trained_on_are_said(given, run):
    known_repeats(given, 0.6)
    for words in (["evaluate", f"data={given / 'data'}"], ["predict", f"input={given / 'data' / 'test.txt'}"]):
        code, _, err = run(*words)
        assert (code, len(err)) == (0, 1)
        assert "% of neighbouring units are the same unit, and the prompt" in err[0]
        assert "was trained on units with 60%: take units that are not reduced" in err[0]


def test_answers_in_another_unicode_form_are_right_and_those_in_capitals_are_said(given, run):
    path, scores = given / "data" / "test.txt", []
    text = path.read_text().replace("hall", "håll")
    for name in ("train", "valid", "test"):
        file = given / "data" / f"{name}.txt"
        file.write_text(file.read_text().replace("hall", "håll"))
    for form in ("NFC", "NFD"):
        path.write_text(unicodedata.normalize(form, text))
        code, out, _ = run("evaluate", f"data={given / 'data'}")
        assert code == 0
        scores.append(json.loads(out)["baseline"]["metrics"]["accuracy"])
    assert scores[0] == scores[1]
    path.write_text(text.replace("håll", "hall").replace("lamp", "LAMP"))
    _, _, err = run("evaluate", f"data={given / 'data'}")
    assert len(err) == 1
    assert "answers differ from training's by capitals or Unicode form alone, such as" in err[0]


def test_a_pipe_is_answered_as_its_file_is(given, run):
    path, fifo = given / "data" / "test.txt", given / "fifo"
    os.mkfifo(fifo)
    many = path.read_bytes() * 40
    (given / "many").write_bytes(many)
    threading.Thread(target=lambda: fifo.write_bytes(many), daemon=True).start()
    by_pipe, by_file = run("predict", f"input={fifo}"), run("predict", f"input={given / 'many'}")
    assert by_pipe[:2] == by_file[:2]
    assert len(by_pipe[1].splitlines()) == 480


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["predict", "input=~nouser9/x"],
            "sp-search: input: expected a path, got '~nouser9/x', but there is no user n",
        ),
        (
            ["predict", f"input={'a' * 300}"],
            "sp-search: input: expected names of up to 255 bytes in a path, got one of",
        ),
        (
            ["evaluate", "data=~nouser9/x"],
            "sp-search: data: expected a path, got '~nouser9/x', but there is no user no",
        ),
        (
            ["evaluate", "data=" + os.fsdecode(b"caf\xe9")],
            r"sp-search: data: expected a path in UTF-8, got b'caf\xe9'",
        ),
        (
            ["evaluate", "cache=~nouser9/x"],
            "sp-search: cache: expected a path, got '~nouser9/x', but there is no user",
        ),
        (
            ["evaluate", f"schedule={'a' * 300}"],
            "sp-search: schedule: expected names of up to 255 bytes in a path, got",
        ),
        (["evaluate", "schedule=/"], "sp-search: /: expected a YAML file of schedule settings, got a folder"),
    ],
)
def test_a_path_that_no_file_has_is_refused_in_one_line(run, words, message):
    code, out, err = run(*words)
    assert (code, out, len(err)) == (2, "", 1)
    assert err[0].startswith(message)


@pytest.mark.parametrize("key", ["to", "cache"])
def test_prepare_refuses_a_folder_that_cannot_be_written_before_it_reads_anything(tmp_path, capsys, key):
    words = {"to": tmp_path / "out", "cache": tmp_path / "cache", "corpus": tmp_path / "nowhere.csv"} | {
        key: "/proc/x"
    }
    assert main(["prepare", *(f"{name}={value}" for name, value in words.items())]) == 2
    assert capsys.readouterr().err.startswith(
        f"sp-search: {key}: expected a folder that can be written, got /proc/x ("
    )


def test_pretrain_refuses_a_corpus_and_a_valid_file_of_two_quantizers(given, capsys):
    other = write_tiny_corpus(given / "other")
    meta(other, "cd" * 32)
    words = [f"corpus={given / 'data'}", f"valid={other / 'valid.txt'}", f"to={given / 'lm'}"]
    assert main(["pretrain", *words]) == 2
    assert "got units of the quantizer cdcdcdcdcdcd; " in capsys.readouterr().err
    assert main(["pretrain", f"corpus={given / 'data'}", "to=/proc/x"]) == 2
    assert capsys.readouterr().err.startswith("sp-search: to: expected a folder that can be written, got /proc/x (")


def test_a_search_is_told_of_forms_quantizers_and_repeats(given):
    dictionary = load_lm(LM, None, given / "cache").dictionary
    config = load_settings([f"lm={LM}", f"data={given / 'data'}", "prompt=x"], EvaluateSettings)
    corpus = load_corpus(given / "data", dictionary, "data")
    assert lines_on_corpus(config, corpus)[0] == "data: train.txt: units <s> labels, 40 utterances"
    demo = load_settings([f"data={given / 'data'}", "prompt=x"], EvaluateSettings)
    with pytest.raises(CheckpointError, match=r"^the LM demo: expected units of the quantizer "):
        lines_on_corpus(demo, corpus)
    (given / "data" / "meta.json").unlink()
    told = lines_on_corpus(demo, corpus)
    assert "does not say which quantizer made its units, and the LM demo says quantizer" in told[3]
    assert "of neighbouring units are the same unit, and the LM demo was trained on units with 0%: reduce" in told[4]
