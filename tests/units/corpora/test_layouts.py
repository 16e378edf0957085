"""Published corpora as their archives unpack, in miniature."""

import hashlib
import re
import shutil
from collections import Counter

import pytest

from sp_search.errors import DataError
from sp_search.units.audio import load_audio
from sp_search.units.corpora.audio_snips import mark
from sp_search.units.corpora.read import READERS, read_corpus
from sp_search.units.corpora.speech_commands import split_of
from sp_search.units.lines import LineError
from tests.units.corpora import layouts

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ'"
LAYOUTS = ("fluent_commands", "librispeech", "speech_commands", "audio_snips")


def told(form, folder):
    return [(r.split, r.id, r.labels, r.text) for r in read_corpus(form, folder, LETTERS)]


def test_fluent_commands_answer_with_action_object_and_location(tmp_path):
    assert told("fluent_commands", layouts.fluent_commands(tmp_path)) == [
        ("train", "a1", ("activate", "lights", "kitchen"), "Turn on, please"),
        ("train", "a2", ("change_language", "none", "none"), "Swap"),
        ("valid", "b1", ("change_language", "none", "none"), "Swap it"),
        ("test", "c1", ("activate", "lights", "kitchen"), "Light"),
    ]


def test_librispeech_answers_with_the_characters_of_its_hundred_hours(tmp_path):
    assert told("librispeech", layouts.librispeech(tmp_path)) == [
        ("train", "19-198-0000", tuple("NORTHANGER|ABBEY"), "NORTHANGER ABBEY"),
        ("train", "19-198-0001", tuple("THIS|LITTLE|WORK|WASN'T"), "THIS LITTLE WORK WASN'T"),
        ("valid", "84-121123-0000", tuple("GO|DO|YOU|HEAR"), "GO DO YOU HEAR"),
        ("test", "61-70968-0000", tuple("HE|BEGAN"), "HE BEGAN"),
    ]


def as_superb_splits(name):
    """Its function, written out: the share of all hashes below this one, in per cent."""
    speaker = re.sub(r"_nohash_.*$", "", name)
    most = 2**27 - 1
    percent = (int(hashlib.sha1(speaker.encode("utf-8")).hexdigest(), 16) % (most + 1)) * (100.0 / most)
    return "valid" if percent < 10 else "test" if percent < 20 else "train"


def test_a_speaker_is_in_the_split_that_superb_puts_it_in():
    names = [f"{speaker:08x}_nohash_{take}.wav" for speaker in range(3_000) for take in (0, 3)]
    splits = [split_of(name) for name in names]
    assert splits == [as_superb_splits(name) for name in names]
    assert splits[::2] == splits[1::2]
    assert {split: round(count / 600) for split, count in Counter(splits).items()} == {
        "train": 8,
        "valid": 1,
        "test": 1,
    }


def test_speech_commands_have_twelve_classes_and_silence_of_the_background_noise(tmp_path):
    found = read_corpus("speech_commands", layouts.speech_commands(tmp_path), LETTERS)
    spoken = [r for r in found if r.split != "test" and r.labels != ("silence",)]
    wanted = {
        (f"{word}/{stem}", as_superb_splits(f"{stem}.wav"), label)
        for word, label in (("yes", "yes"), ("go", "go"), ("bed", "unknown"))
        for stem in (f"{speaker:08x}_nohash_{take}" for speaker in range(12) for take in range(2))
    }
    assert {(r.id, r.split, *r.labels) for r in spoken} == {row for row in wanted if row[1] != "test"}
    assert [(r.id, *r.labels) for r in found if r.split == "test"] == [
        ("_silence_/0", "silence"), ("_unknown_/bed_0b_nohash_0", "unknown"), ("yes/0a_nohash_0", "yes"),
    ]  # fmt: skip
    silence = [r for r in found if r.labels == ("silence",) and r.split != "test"]
    assert [(r.split, r.start_s, r.duration_s) for r in silence] == [
        *(("train", float(second), 1.0) for second in (0, 1, 2)),  # pink_noise
        *(("valid" if second == 9 else "train", float(second), 1.0) for second in range(12)),  # running_tap
    ]
    assert {len(load_audio(r.path, r.start_s, r.duration_s)) for r in silence} == {16_000}


def test_audio_snips_marks_the_slots_of_superbs_speakers(tmp_path):
    train, valid, test = read_corpus("audio_snips", layouts.audio_snips(tmp_path), LETTERS)
    assert [(r.split, r.id) for r in (train, valid, test)] == [
        ("train", "Ivy-snips-train-0"), ("valid", "Amy-snips-valid-7"), ("test", "Brian-snips-test-3"),
    ]  # fmt: skip
    assert train.text == "PLAY THE B-album NEW E-album EP B-artist AND KISS E-artist"
    assert train.labels == (
        *"PLAY|THE|", "B-album", *"NEW", "E-album", *"|EP|", "B-artist", *"AND|KISS", "E-artist",
    )  # fmt: skip
    assert (valid.labels, valid.text) == (tuple("RATE|IT"), "RATE IT")
    assert test.labels == ("B-city", *"NEW|YORK", "E-city", "|", "B-date", *"TODAY", "E-date")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("BOS PLAY EOS O O PlayMusic", "expected `BOS words EOS<tab>as many tags`"),
        ("BOS PLAY EOS\tO PlayMusic", "expected `BOS words EOS<tab>as many tags`"),
        ("BOS , EOS\tO O PlayMusic", "expected words between BOS and EOS"),
        ("BOS PLAY 3 EOS\tO O O PlayMusic", f"expected text of \"{LETTERS}\" and blanks, got '3' in '3'"),
    ],
)
def test_a_bad_text_of_audio_snips_is_refused(line, message):
    with pytest.raises(LineError, match=re.escape(message)):
        mark(line, LETTERS)


@pytest.mark.parametrize("form", LAYOUTS)
def test_every_file_that_is_named_is_there(tmp_path, form):
    found = read_corpus(form, getattr(layouts, form)(tmp_path), LETTERS)
    assert all(recording.path.is_file() for recording in found)


@pytest.mark.parametrize(
    ("form", "gone", "message"),
    [
        ("fluent_commands", "data/valid_data.csv", "valid_data.csv: expected a readable file, got No such file"),
        ("librispeech", "*/*/*/*.txt", "expected folders train-clean-100, dev-clean, test-clean"),
        ("speech_commands", "speech_commands_v0.01", "expected one folder speech_commands_v0.0N, found none"),
        ("speech_commands", "speech_commands_test_set_v0.01/*", "expected WORD/*.wav of the test split, found none"),
        ("audio_snips", "all.iob.snips.txt", "all.iob.snips.txt: expected a readable file, got No such file"),
        ("audio_snips", "*/*.wav", "expected train, valid and test with SPEAKER-snips-*.wav, found none"),
    ],
)
def test_a_corpus_that_lacks_a_part_is_refused_by_name(tmp_path, form, gone, message):
    getattr(layouts, form)(tmp_path)
    for path in list(tmp_path.glob(gone)):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(DataError, match=re.escape(message)):
        read_corpus(form, tmp_path, LETTERS)


def test_bad_lines_are_named_by_file_and_number(tmp_path):
    layouts.fluent_commands(tmp_path / "fsc")
    path = tmp_path / "fsc" / "data" / "train_data.csv"
    path.write_text(path.read_text().replace("change language", ""))
    with pytest.raises(DataError, match=r"train_data\.csv line 3: expected path, transcription"):
        read_corpus("fluent_commands", tmp_path / "fsc", LETTERS)
    layouts.librispeech(tmp_path / "ls")
    with (tmp_path / "ls" / "dev-clean" / "84" / "121123" / "84-121123.trans.txt").open("a") as file:
        file.write("84-121123-0001 CAFÉ\n")
    with pytest.raises(DataError, match=r"84-121123\.trans\.txt line 2: expected text of .* got 'É'"):
        read_corpus("librispeech", tmp_path / "ls", LETTERS)
    layouts.audio_snips(tmp_path / "snips")
    (tmp_path / "snips" / "all.iob.snips.txt").write_text("")
    with pytest.raises(
        DataError, match=r"txt: expected a text of each file, found none of 3: Ivy-snips-train-0\.wav"
    ):
        read_corpus("audio_snips", tmp_path / "snips", LETTERS)


@pytest.mark.parametrize("form", READERS)
def test_a_path_of_the_wrong_kind_is_refused(tmp_path, form):
    path = tmp_path if form == "manifest" else tmp_path / "absent"
    with pytest.raises(DataError, match=r"expected a manifest, got a folder|expected the folder of a corpus"):
        read_corpus(form, path, LETTERS)
