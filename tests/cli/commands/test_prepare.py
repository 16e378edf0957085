"""`sp-search prepare` as a user meets it."""

import gzip
import json
import re

import joblib
import numpy as np
import pytest
import soundfile
from sklearn.cluster import MiniBatchKMeans

from sp_search.cli.main import main
from sp_search.tasks.label_space import LabelSpace
from sp_search.tasks.registry import get_task
from sp_search.units.audio import load_audio
from sp_search.units.corpora.read import read_corpus
from sp_search.units.dictionary import Dictionary
from sp_search.units.features import FeatureSettings, frames
from sp_search.units.manifest import load_corpus
from sp_search.units.quantizer import Quantizer, nearest, reduce_runs
from tests.shared import shared
from tests.units.corpora import layouts
from tests.units.speech import write_hum

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ'"
ROW = "{name}.wav,{split},increase heat kitchen\n"


def corpus(folder, count=12):
    for i in range(count):
        write_hum(folder / f"{i}.wav", seed=i)
    rows = [ROW.format(name=i, split=("train", "valid", "test")[i % 3]) for i in range(count)]
    (folder / "corpus.csv").write_text("path,split,labels\n" + "".join(rows))
    return folder / "corpus.csv"


def prepare(*words):
    return main(["prepare", *(str(word) for word in words), "cluster.workers=1"])


def fit(units):
    return ["units.quantizer=null", f"units.fit.units={units}"]


@pytest.mark.slow
def test_a_manifest_becomes_a_folder_that_a_search_takes(tmp_path, capsys):
    words = [f"corpus={corpus(tmp_path / 'in')}", f"to={tmp_path / 'out'}", *fit(20)]
    assert prepare(*words) == 0
    out, err = capsys.readouterr()
    assert out == f"{tmp_path / 'out'}\n"
    assert "units: 12 of 12 utterances, " in err
    loaded = load_corpus(tmp_path / "out", Dictionary([f"{unit}" for unit in range(20)]), "mine")
    assert {name: len(split) for name, split in loaded.splits.items()} == {"train": 4, "valid": 4, "test": 4}
    assert set(loaded.splits["test"].answers) == {("increase", "heat", "kitchen")}
    meta = json.loads((tmp_path / "out" / "meta.json").read_text())
    assert set(meta) == {
        "corpus", "units", "quantizer_fingerprint", "utterances", "files", "unreadable", "versions",
    }  # fmt: skip
    quantizer = Quantizer.load(tmp_path / "out" / "quantizer.safetensors")
    assert meta["quantizer_fingerprint"] == quantizer.fingerprint
    assert prepare(*words) == 0
    assert "units: 12 of 12 utterances were done before" in capsys.readouterr().err


@pytest.mark.slow
def test_bad_audio_is_listed_the_rest_goes_on_and_the_exit_code_is_1(tmp_path, capsys):
    path = corpus(tmp_path / "in")
    folder = path.parent
    (folder / "text.wav").write_text("this is text")
    soundfile.write(folder / "empty.wav", np.zeros(0, np.float32), 16_000)
    soundfile.write(folder / "nan.wav", np.full(16_000, np.nan, np.float32), 16_000, subtype="FLOAT")
    soundfile.write(folder / "stereo.wav", np.random.default_rng(0).uniform(-1, 1, (44_100, 2)), 44_100)
    with path.open("a") as file:
        file.writelines(ROW.format(name=name, split="train") for name in ("text", "empty", "nan", "stereo", "absent"))
    assert prepare(f"corpus={path}", f"to={tmp_path / 'out'}", *fit(20)) == 1
    meta = json.loads((tmp_path / "out" / "meta.json").read_text())
    assert meta["utterances"] == {"train": 5, "valid": 4, "test": 4}
    assert [fault["why"] for fault in meta["unreadable"]] == [
        f"{folder}/text.wav: expected an audio file that libsndfile reads, got: Format not recognised",
        f"{folder}/empty.wav: expected samples between 0 s and its end, got none",
        f"{folder}/nan.wav: expected finite samples, got nan at 0.000 s (16000 such samples)",
        f"{folder}/absent.wav: expected an audio file, found no such file",
    ]
    told = capsys.readouterr().err
    for fault in meta["unreadable"]:
        assert f"can't be read: {fault['why']}\n" in told


def test_a_recording_that_was_cut_off_is_unreadable_with_the_reason(tmp_path, capsys):
    path = corpus(tmp_path)
    (tmp_path / "3.wav").write_bytes((tmp_path / "3.wav").read_bytes()[:-1000])
    words = [f"corpus={path}", f"to={tmp_path / 'out'}", "units.quantizer=null", "units.fit.units=6"]
    assert prepare(*words, f"cache={tmp_path / 'cache'}") == 1
    (unreadable,) = json.loads((tmp_path / "out" / "meta.json").read_text())["unreadable"]
    assert (
        "expected a whole audio file, got one that is cut off: its header tells of 9,600 bytes" in unreadable["why"]
    )


def test_a_text_with_a_character_outside_the_space_is_refused_before_any_work(tmp_path, capsys):
    path = tmp_path / "corpus.csv"
    path.write_text("path,split,text\na.wav,train,a café\n")
    assert prepare(f"corpus={path}", f"to={tmp_path / 'out'}", "characters=abc") == 2
    error = capsys.readouterr().err
    assert error.startswith(f"sp-search: {path} line 2: expected text of 'abc' and blanks, got 'A' in ")
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["units.quantizer={folder}/km.bin"], "km.bin: expected centroids of 80 features a frame, got 4; is it the"),
        (
            ["units.quantizer={folder}/evil.bin"],
            "names posix.system, which is not on the allow-list; nothing",
        ),
        (["units.fit.units=20"], "a file that exists, or null to find clusters on train, got 'logmel20'; did you"),
        (["units.quantizer=logmel"], "or null to find clusters on train, got 'logmel'; did you mean logmel50?"),
        (["units.quantizer=hubert100"], "hubert100 expects frames of kind hubert, got fbank; layer 6, got None; for"),
        (["units=hubert", "units.encoder.layer=9"], "hubert100 expects frames of layer 6, got 9; for units of your"),
        (
            ["units.checkpoint={folder}/km.bin"],
            "units.checkpoint: expected none, for these units are of fbank frames, which no speech model makes, got",
        ),
        (["units=hubert", "units.checkpoint={folder}/km.bin"], "km.bin: expected a fairseq checkpoint, got another"),
        (["units=huber"], "units: expected cpc or hubert or logmel or mhubert25 or w2v2 or wavlm or a YAML file"),
        (["units.fit.units=1"], "units.fit.units: expected 2 or more, got 1"),
    ],
)
def test_a_wrong_setting_ends_with_2_and_one_line(tmp_path, capsys, words, message):
    points = np.random.default_rng(0).standard_normal((50, 4)).astype(np.float32)
    joblib.dump(MiniBatchKMeans(3, n_init=1).fit(points), tmp_path / "km.bin")
    (tmp_path / "evil.bin").write_bytes(b"cposix\nsystem\n(S'touch made'\ntR.")
    words = [word.format(folder=tmp_path) for word in words]
    assert prepare(f"corpus={corpus(tmp_path / 'in', count=3)}", f"to={tmp_path / 'out'}", *words) == 2
    error = capsys.readouterr().err
    assert re.fullmatch(rf"sp-search: .*{re.escape(message)}.*\n", error)


def test_help_shows_what_is_its_own_before_what_all_commands_take(capsys):
    assert main(["prepare", "--help", "units=cpc", "units.fit.units=50"]) == 0
    own, _, common = capsys.readouterr().out.partition("\n\ngroups: ")
    assert re.findall(r"^  (\w+)=", own, re.MULTILINE) == ["corpus", "to", "form", "characters"]
    assert "one of manifest, speech_commands, fluent_commands, librispeech, audio_snips, lhotse" in " ".join(
        own.split()
    )
    assert f"  characters={LETTERS}\n" in own
    assert set(re.findall(r"^  (units\.\w+)=(\S+)", common, re.MULTILINE)) == {
        ("units.signal", "null"), ("units.checkpoint", "null"), ("units.quantizer", "cpc50"),
    }  # fmt: skip
    assert "  corpus=" not in common


def test_unit_settings_come_from_a_file_of_ones_own_too(tmp_path, capsys):
    (tmp_path / "mine.yaml").write_text("signal: {kind: mfcc, mels: 1}\nencoder: null\n")
    assert prepare(f"corpus={tmp_path}", f"to={tmp_path}", f"units={tmp_path / 'mine.yaml'}") == 2
    error = capsys.readouterr().err
    assert "units.signal.hop: expected a value, got none" in error
    assert "units.fit: expected a value, got none" in error


@pytest.mark.slow
@pytest.mark.parametrize("form", ["fluent_commands", "librispeech", "speech_commands", "audio_snips"])
def test_a_published_corpus_becomes_a_folder_that_a_search_takes(tmp_path, form):
    folder = getattr(layouts, form)(tmp_path / "in")
    words = [f"form={form}", f"corpus={folder}", f"to={tmp_path / 'out'}", *fit(10)]
    assert prepare(*words) == 0
    loaded = load_corpus(tmp_path / "out", Dictionary([f"{unit}" for unit in range(10)]), form)
    recordings = read_corpus(form, folder, LETTERS)
    for name, split in loaded.splits.items():
        wanted = [recording for recording in recordings if recording.split == name]
        assert split.ids == tuple(recording.id for recording in wanted)
        assert split.answers == tuple(recording.labels for recording in wanted)
    if form in (of_task := {"speech_commands": "keyword", "audio_snips": "slots"}):
        task = get_task(of_task[form])
        again = load_corpus(tmp_path / "out", Dictionary([f"{unit}" for unit in range(10)]), form, field=task.field)
        assert LabelSpace.from_split(again.splits["train"], task).answers
    if form == "fluent_commands":
        assert len(LabelSpace.from_split(loaded.splits["train"], get_task("intent")).answers) == 2


@pytest.mark.slow
def test_a_cluster_gives_the_same_bytes(in_ray, tmp_path):
    path = corpus(tmp_path / "in", count=40)
    assert prepare(f"corpus={path}", f"to={tmp_path / 'here'}", *fit(20)) == 0
    assert prepare(f"corpus={path}", f"to={tmp_path / 'there'}", *fit(20), "cluster.address=auto") == 0
    for split in ("train", "valid", "test"):
        here, there = (tmp_path / place / f"{split}.jsonl.gz" for place in ("here", "there"))
        assert here.read_bytes() == there.read_bytes()


@pytest.mark.slow
def test_real_speech_through_log_mel(tmp_path):
    path = shared("data", "speech", "librispeech_6313-76958-0021.flac")
    (tmp_path / "corpus.csv").write_text(f"path,split,labels,id\n{path},train,speech,a\n")
    assert prepare(f"corpus={tmp_path / 'corpus.csv'}", f"to={tmp_path / 'out'}", *fit(50)) == 0
    quantizer = Quantizer.load(tmp_path / "out" / "quantizer.safetensors")
    assert isinstance(quantizer.features, FeatureSettings)
    wanted = reduce_runs(nearest(frames(load_audio(path), quantizer.features), quantizer.centroids))
    record = json.loads(gzip.decompress((tmp_path / "out" / "train.jsonl.gz").read_bytes()))
    assert record == {"id": "a", "units": " ".join(map(str, wanted)), "labels": ["speech"]}
    assert len(wanted) > 300
