"""A whole corpus in audio to one in units, against the units of each file taken one by one."""

import dataclasses
import gzip
import json
import os
import re

import numpy as np
import pytest

from sp_search.errors import DataError
from sp_search.units.audio import load_audio
from sp_search.units.dictionary import Dictionary
from sp_search.units.ledger import Ledger, recording_key
from sp_search.units.manifest import load_corpus
from sp_search.units.prepare import prepare
from sp_search.units.quantizer import Quantizer
from sp_search.units.unitizer import Heard, UnitizerRecipe
from tests.units.speech import quantizer, recordings, write_hum


class Quiet:
    def begin(self, what, total, done):
        self.begun = (what, total, done)

    def advance(self, fault):
        self.advanced = getattr(self, "advanced", 0) + 1

    def end(self):
        pass


class Here:
    """Hears in this process, and remembers what it was given; can be cut off."""

    def __init__(self, stop_after=None):
        self.given, self.stop_after = [], stop_after
        self.unitize = UnitizerRecipe(quantizer=quantizer(), checkpoint=None, device="cpu", threads=1)()

    def __call__(self, work):
        for key, recording in work:
            if len(self.given) == self.stop_after:
                raise KeyboardInterrupt
            self.given.append(recording.id)
            yield self.unitize(key, recording)


def read_split(path):
    return [json.loads(line) for line in gzip.open(path, "rt", encoding="utf-8")]


def test_a_search_can_load_what_was_written_and_its_units_are_those_of_each_file(tmp_path):
    corpus = recordings(tmp_path / "wavs")
    prepared = prepare(corpus, quantizer(), tmp_path / "out", Here(), Quiet())
    assert prepared.utterances == {"train": 4, "valid": 2, "test": 2}
    assert prepared.unreadable == []
    loaded = load_corpus(tmp_path / "out", Dictionary([str(unit) for unit in range(6)]), "mine")
    for name, split in loaded.splits.items():
        wanted = [recording for recording in corpus if recording.split == name]
        assert split.ids == tuple(recording.id for recording in wanted)
        assert split.answers == tuple(recording.labels for recording in wanted)
        for i, recording in enumerate(wanted):
            np.testing.assert_array_equal(split.source(i) - 4, quantizer().units(load_audio(recording.path)))
    assert Quantizer.load(tmp_path / "out" / "quantizer.safetensors").fingerprint == quantizer().fingerprint


def test_a_file_that_cannot_be_read_is_listed_and_the_rest_goes_on(tmp_path):
    corpus = recordings(tmp_path / "wavs")
    corpus[2].path.write_text("no audio")
    corpus[5].path.unlink()
    corpus[7] = dataclasses.replace(corpus[7], duration_s=0.01)
    prepared = prepare(corpus, quantizer(), tmp_path / "out", Here(), Quiet())
    assert [name for name, _ in prepared.unreadable] == ["u2", "u5", "u7"]
    assert [why.partition(": ")[2].partition(",")[0] for _, why in prepared.unreadable] == [
        "expected an audio file that libsndfile reads",
        "expected an audio file",
        "audio: expected one channel of 400 samples or more",
    ]
    assert prepared.utterances == {"train": 3, "valid": 1, "test": 1}
    assert [record["id"] for record in read_split(tmp_path / "out" / "train.jsonl.gz")] == ["u0", "u4", "u6"]


def test_a_run_that_was_cut_off_is_gone_on_with_to_the_same_bytes(tmp_path):
    corpus = recordings(tmp_path / "wavs")
    with pytest.raises(KeyboardInterrupt):
        prepare(corpus, quantizer(), tmp_path / "out", Here(stop_after=3), Quiet())
    (tmp_path / "out" / "done" / f"{quantizer().fingerprint[:32]}.jsonl").open("ab").write(b'{"key": "cut o')
    rest, listener = Here(), Quiet()
    prepared = prepare(corpus, quantizer(), tmp_path / "out", rest, listener)
    assert rest.given == ["u3", "u4", "u5", "u6", "u7"]
    assert (listener.begun, listener.advanced) == (("units", 8, 3), 5)
    assert prepared.files == prepare(corpus, quantizer(), tmp_path / "whole", Here(), Quiet()).files


def test_run_again_only_what_changed_is_heard(tmp_path):
    corpus = recordings(tmp_path / "wavs")
    corpus[3].path.write_text("no audio")
    prepare(corpus, quantizer(), tmp_path / "out", Here(), Quiet())
    write_hum(corpus[3].path, seed=99)
    os.utime(corpus[4].path, ns=(0, 0))
    labelled_anew = [dataclasses.replace(recording, labels=("other",)) for recording in corpus]
    again = Here()
    prepared = prepare(labelled_anew, quantizer(), tmp_path / "out", again, Quiet())
    assert again.given == ["u3", "u4"]
    assert prepared.unreadable == []
    assert {tuple(record["labels"]) for record in read_split(tmp_path / "out" / "train.jsonl.gz")} == {("other",)}
    other = Here()
    prepare(corpus, quantizer(seed=1), tmp_path / "out", other, Quiet())
    assert len(other.given) == 8


def test_two_utterances_of_the_same_samples_are_heard_once_and_both_written(tmp_path):
    first, second = recordings(tmp_path / "wavs", count=2)
    twice, hear = [first, dataclasses.replace(first, id="again", split="test"), second], Here()
    prepared = prepare(twice, quantizer(), tmp_path / "out", hear, Quiet())
    assert len(hear.given) == 2
    assert prepared.utterances == {"train": 1, "valid": 1, "test": 1}


def test_a_split_that_the_corpus_no_longer_has_is_gone(tmp_path):
    corpus = recordings(tmp_path / "wavs")
    prepare(corpus, quantizer(), tmp_path / "out", Here(), Quiet())
    prepare([r for r in corpus if r.split == "train"], quantizer(), tmp_path / "out", Here(), Quiet())
    assert sorted(path.name for path in (tmp_path / "out").glob("*.gz")) == ["train.jsonl.gz"]


def test_a_corpus_of_which_nothing_can_be_read_is_refused(tmp_path):
    corpus = recordings(tmp_path / "wavs", count=2)
    for recording in corpus:
        recording.path.unlink()
    with pytest.raises(DataError, match=r"expected at least one utterance that can be read, got none; .*0\.wav: "):
        prepare(corpus, quantizer(), tmp_path / "out", Here(), Quiet())


def test_a_second_run_into_the_same_folder_is_refused_while_the_first_writes(tmp_path):
    Ledger(tmp_path / "a.jsonl").close()
    first = Ledger(tmp_path / "a.jsonl")
    with pytest.raises(DataError, match=re.escape("a.jsonl: expected no other run that writes it, found one")):
        Ledger(tmp_path / "a.jsonl")
    first.add(Heard("k", (1, 2, 1), ""))
    first.close()
    again = Ledger(tmp_path / "a.jsonl")
    assert ("k" in again, "j" in again, again.units("k")) == (True, False, "1 2 1")


def test_a_stretch_has_a_key_of_its_own(tmp_path):
    (recording,) = recordings(tmp_path, count=1)
    keys = {
        recording_key(dataclasses.replace(recording, start_s=s, duration_s=d))
        for s in (0.0, 0.1)
        for d in (None, 0.1)
    }
    assert len(keys) == 4
