"""`sp-search predict` on speech: a spoken corpus, prepared, and a small prompt trained on it and exported."""

import gzip
import io
import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import soundfile

from sp_search.cli.main import main
from sp_search.cli.settings.compose import load_settings
from sp_search.cli.wiring.factories import corpus_quantizer
from sp_search.config import Settings
from sp_search.demo.espeak import Espeak
from sp_search.demo.voices import Manner
from sp_search.engine.trial.task_data import task_data
from sp_search.errors import CheckpointError
from sp_search.lm.zoo import load_lm
from sp_search.tasks.registry import get_task
from sp_search.units.features import SAMPLE_RATE
from sp_search.units.manifest import load_corpus
from sp_search.units.prepare import quantizer_in
from sp_search.units.quantizer import Quantizer
from tests.export.winner import DEEP, train_and_export
from tests.tiny import no_scores

LM = "random:2x16x2"
SAID = {"turn on the lamp": "activate lamp none", "louder please": "increase volume none"}
VOICES = {"train": ("en-us", "en-gb-x-rp"), "valid": ("en-029",), "test": ("en-gb-scotland",)}


@pytest.fixture(scope="module")
def spoken(tmp_path_factory):
    """Clips, the corpus that was prepared of them, and a prompt that was trained on it."""
    folder, espeak = tmp_path_factory.mktemp("spoken"), Espeak()
    (folder / "clips").mkdir()
    rows = ["path,split,labels,id"]
    for split, voices in VOICES.items():
        for i, (text, labels) in enumerate(SAID.items()):
            for voice in voices:
                speech = espeak.say(text, Manner(voice=voice, words_per_minute=240, pitch=50, liveliness=50))
                soundfile.write(folder / "clips" / f"{split}-{voice}-{i}.wav", speech, SAMPLE_RATE)
                rows.append(f"clips/{split}-{voice}-{i}.wav,{split},{labels},{split}-{voice}-{i}.wav")
    (folder / "corpus.csv").write_text("\n".join(rows) + "\n")
    words = [f"corpus={folder / 'corpus.csv'}", f"to={folder / 'units'}", "units.quantizer=null"]
    assert main(["prepare", *words, "units.fit.units=50", "cluster.workers=1"]) == 0
    return SimpleNamespace(
        clips=sorted((folder / "clips").glob("test-*.wav")),
        units=folder / "units",
        prompt=export(folder / "units", folder, quantizer_in(folder / "units")),
    )


def export(units, to, quantizer):
    """A prompt that was trained on the corpus."""
    loaded = load_lm(LM, None, to / "cache")
    corpus = load_corpus(units, loaded.dictionary, "spoken")
    data = task_data(corpus, loaded.dictionary, get_task("intent"), no_scores)
    return train_and_export(to, DEEP, quantizer, loaded.lm, data).folder


@pytest.fixture
def predict(spoken, capsys, monkeypatch):
    """Runs the command on the prompt, or on another; its exit code, the answers by id, and what went to stderr."""

    def run(*words, stdin=b"", prompt=None):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        own = [f"lm={LM}", f"prompt={prompt or spoken.prompt}", "engine.dtype=float32"]  # auto is what is faster now
        code = main(["predict", *own, *map(str, words)])
        out, err = capsys.readouterr()
        answers = [json.loads(line) for line in out.splitlines()]
        return SimpleNamespace(code=code, answers={answer.pop("id"): answer for answer in answers}, err=err)

    return run


@pytest.fixture
def wanted(spoken, predict):
    """The answers to the unit lines of test, as `prepare` wrote them."""
    found = predict(f"input={spoken.units / 'test.jsonl.gz'}")
    assert found.code == 0
    one, other = (answer["score"] for answer in found.answers.values())
    assert one != other
    assert all(set(answer) == {"labels", "score"} for answer in found.answers.values())
    return found.answers


@pytest.mark.slow
def test_a_clip_is_answered_as_its_unit_line_is(spoken, predict):
    lines = gzip.decompress((spoken.units / "test.jsonl.gz").read_bytes()).splitlines()
    for clip, line in zip(spoken.clips, lines, strict=True):
        by_units, by_ear = predict(stdin=line), predict(f"input={clip}")
        assert by_ear.code == by_units.code == 0
        assert by_ear.answers == by_units.answers != {}


@pytest.mark.slow
@pytest.mark.parametrize("form", ["folder", "pattern", "list", "stdin"])
def test_many_clips_are_answered_as_their_unit_lines_are(spoken, predict, wanted, tmp_path, form):
    for clip in spoken.clips:
        shutil.copy(clip, tmp_path)
    (tmp_path / "notes.txt").write_text("not audio")
    names = [clip.name for clip in spoken.clips]
    if form == "folder":
        found = predict(f"input={tmp_path}")
    elif form == "pattern":
        found = predict(f"input={tmp_path}/*.wav")
    elif form == "list":
        (tmp_path / "list").write_text("\n".join(names) + "\n\n")
        found = predict(f"input={tmp_path / 'list'}")
    else:
        found = predict(stdin="\n".join(str(tmp_path / name) for name in names).encode())
        found.answers = {Path(name).name: answer for name, answer in found.answers.items()}
    assert found.code == 0
    assert list(found.answers) == names
    assert {name: answer["labels"] for name, answer in found.answers.items()} == {
        name: answer["labels"] for name, answer in wanted.items()
    }
    for name, answer in found.answers.items():
        assert answer["score"] == pytest.approx(wanted[name]["score"], abs=1e-5)


@pytest.mark.slow
def test_the_best_answers_and_several_prompts_are_printed_as_asked_for(spoken, predict, wanted, tmp_path):
    lines = f"input={spoken.units / 'test.jsonl.gz'}"
    both = predict(lines, "top=2").answers
    assert {name: (answer["labels"], answer["score"]) for name, answer in both.items()} == {
        name: (answer["labels"], answer["score"]) for name, answer in wanted.items()
    }
    for answer in both.values():
        best, other = answer["scores"].items()
        assert best == (" ".join(answer["labels"]), answer["score"])
        assert best[1] + other[1] == pytest.approx(1, abs=2e-6)  # the corpus has two answers
    copy = shutil.copytree(spoken.prompt, tmp_path / "copy")
    several = predict(lines, prompt=f"{spoken.prompt},{copy}")
    assert several.code == 0, several.err
    assert several.answers == {name: {"prompts": {"best": answer, "copy": answer}} for name, answer in wanted.items()}


@pytest.mark.slow
def test_the_lines_of_the_exported_page_run_as_they_are_pasted(spoken, wanted, tmp_path, monkeypatch, capsys):
    folder = shutil.copytree(spoken.prompt, tmp_path / "carried")
    shutil.copy(spoken.clips[0], folder / "clip.wav")
    monkeypatch.chdir(folder)
    page = (folder / "README.md").read_text().replace("tiny", LM)  # the name under which this LM is known
    lines = [line.removeprefix("    ") for line in page.splitlines() if line.startswith("    ")]
    predict, _, *python = lines
    assert main(predict.split()[1:]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["labels"] == next(iter(wanted.values()))["labels"]
    exec("\n".join(python), {})  # noqa: S102
    assert f"labels={tuple(answer['labels'])}" in capsys.readouterr().out


@pytest.mark.slow
def test_a_pattern_that_nothing_matches_ends_with_2_and_one_line(predict, tmp_path):
    found = predict(f"input={tmp_path}/*.wav")
    assert (found.code, found.answers) == (2, {})
    assert found.err == (f"sp-search: {tmp_path}/*.wav: expected audio files that this pattern matches, found none\n")


@pytest.mark.slow
def test_what_cannot_be_read_is_told_in_one_line_behind_the_answers_to_the_rest(spoken, predict, wanted, tmp_path):
    names = [str(clip) for clip in spoken.clips]
    (tmp_path / "list.txt").write_text("\n".join(["absent.wav", *names]))
    found = predict(f"input={tmp_path / 'list.txt'}")
    assert found.code == 2
    assert list(found.answers) == names
    assert found.err == (
        f"sp-search: input: {tmp_path}/list.txt: audio, 3 files\n"
        f"sp-search: {tmp_path}/list.txt: 1 of 3 audio files can't be read: {tmp_path}/absent.wav: expected an audio "
        f"file, found no such file\n"
    )


@pytest.mark.slow
def test_a_prompt_that_names_no_quantizer_refuses_audio_in_one_line_and_answers_units(
    spoken, predict, wanted, tmp_path
):
    prompt = export(spoken.units, tmp_path, None)
    found = predict(f"input={spoken.clips[0]}", prompt=prompt)
    assert (found.code, found.answers) == (2, {})
    assert found.err == (
        f"sp-search: {prompt}: expected a prompt that names its quantizer, for the input is audio, got one "
        f"of a corpus in units; give unit lines, or search on a corpus that sp-search prepare has made of audio\n"
    )
    again = predict(f"input={spoken.units / 'test.jsonl.gz'}", prompt=prompt)
    assert again.answers == wanted


@pytest.mark.slow
def test_input_that_is_not_there_ends_with_2_and_one_line(predict, tmp_path):
    found = predict(f"input={tmp_path / 'nowhere'}")
    assert found.code == 2
    assert (
        found.err == f"sp-search: {tmp_path}/nowhere: expected unit lines or audio, got No such file or directory\n"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stdin", "message"),
    [
        (b"\xff\xfb\x90\x00", "stdin line 1: expected text (UTF-8), got byte 0xff; "),
        (b"", "stdin: expected at least one utterance, got an empty file"),
        (
            gzip.compress(b"1 2 x\n", mtime=0),
            "stdin line 1: expected units of the LM's dictionary (100 units, 0 to 99), got 'x'; is it a label? ",
        ),
    ],
)
def test_what_is_neither_units_nor_paths_on_stdin_ends_with_2_and_one_line(predict, stdin, message):
    found = predict(stdin=stdin)
    assert (found.code, found.answers) == (2, {})
    assert found.err.startswith(f"sp-search: {message}")
    assert found.err.count("\n") == 1


def test_the_demo_and_a_prepared_corpus_name_their_quantizer_and_other_corpora_none(tmp_path):
    lm = load_lm("demo", None, tmp_path)
    of_demo = corpus_quantizer(load_settings([], Settings))
    assert {str(unit) for unit in range(len(of_demo.centroids))} == set(lm.dictionary.symbols)
    folder = tmp_path / "mine"
    folder.mkdir()
    settings = load_settings([f"data={folder}"], Settings)
    assert corpus_quantizer(settings) is None
    of_demo.save(folder / "quantizer.safetensors")
    for other in ("[]", "{}", "not JSON"):
        (folder / "meta.json").write_text(other)
        assert corpus_quantizer(settings) is None
    (folder / "meta.json").write_text(json.dumps({"quantizer_fingerprint": of_demo.fingerprint}))
    assert corpus_quantizer(settings).fingerprint == of_demo.fingerprint
    Quantizer(of_demo.features, of_demo.centroids + 1).save(folder / "quantizer.safetensors")
    place = re.escape(str(folder / "quantizer.safetensors"))
    with pytest.raises(
        CheckpointError, match=rf"^{place}: expected the quantizer that meta\.json names \(\w{{12}}\.\.\.\)"
    ):
        corpus_quantizer(settings)
