"""lhotse's manifests: as lhotse itself writes them where it is installed, and by hand."""

import gzip
import json
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from sp_search.errors import DataError
from sp_search.units.corpora.read import read_corpus
from tests.any_json import changed
from tests.units.corpora import layouts

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ'"
AUDIO = {
    "id": "a",
    "sources": [{"type": "file", "channels": [0], "source": "/far/a.wav"}],
    "sampling_rate": 16000, "num_samples": 48000, "duration": 3.0, "channel_ids": [0],
}  # fmt: skip
SAID = {"id": 0, "recording_id": "a", "start": 0, "duration": 3.0, "channel": 0, "text": "go on"}
CUT = {"id": "c", "start": 1.0, "duration": 0.5, "channel": 0, "supervisions": [{**SAID, "start": 0.0}],
       "recording": AUDIO, "type": "MonoCut"}  # fmt: skip


def write(folder, **files):
    for name, rows in files.items():
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name.replace('__', '-')}.jsonl.gz").write_bytes(gzip.compress(text.encode(), mtime=0))
    return folder


def told(folder):
    found = read_corpus("lhotse", folder, LETTERS)
    return [(r.split, r.id, str(r.path), r.start_s, r.duration_s, r.labels) for r in found]


def test_a_supervision_is_an_utterance_of_its_recording(tmp_path):
    labelled = {**SAID, "id": "b", "start": 0.5, "duration": 1.25, "custom": {"labels": ["change language", "x"]}}
    write(tmp_path, mine_recordings_train=[AUDIO], mine_supervisions_train=[SAID, labelled])
    write(tmp_path, mine_recordings_dev=[AUDIO], mine_supervisions_dev=[SAID])
    write(tmp_path, mine_recordings_extra=[AUDIO], mine_supervisions_extra=[{"no": "matter"}])
    assert told(tmp_path) == [
        ("valid", "0", "/far/a.wav", 0.0, None, tuple("GO|ON")),
        ("train", "0", "/far/a.wav", 0.0, None, tuple("GO|ON")),
        ("train", "b", "/far/a.wav", 0.5, 1.25, ("change_language", "x")),
    ]


def test_a_cut_is_an_utterance(tmp_path):
    write(tmp_path, mine_cuts_test=[CUT])
    assert told(tmp_path) == [("test", "0", "/far/a.wav", 1.0, 0.5, tuple("GO|ON"))]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({**CUT, "type": "MixedCut"}, "expected a MonoCut of one supervision, got a MixedCut of 1"),
        ({**CUT, "supervisions": []}, "expected a MonoCut of one supervision, got a MonoCut of 0"),
        ({"id": "c"}, "expected lhotse's fields, got KeyError: 'type'"),
        ([1], "expected lhotse's fields, got TypeError"),
        ({**CUT, "recording": {**AUDIO, "transforms": [{"name": "Speed"}]}}, "without transforms, got another"),
        ({**CUT, "recording": {**AUDIO, "sources": [{"type": "command", "channels": [0], "source": "touch made"}]}},
         "expected a recording in one file, without transforms, got another"),
        ({**CUT, "recording": {**AUDIO, "sources": [{"type": "file", "channels": [0, 1], "source": "a"}]}},
         "expected a supervision of all channels [0, 1], got 0"),
        ({**CUT, "supervisions": [{**SAID, "text": "élan"}]}, "and blanks, got 'É' in 'élan'"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_here_is_refused_by_its_line(tmp_path, row, message):
    write(tmp_path, mine_cuts_train=[CUT, row])
    with pytest.raises(DataError, match=rf"mine_cuts_train\.jsonl\.gz line 2: .*{re.escape(message)}"):
        read_corpus("lhotse", tmp_path, LETTERS)


def test_a_folder_that_lacks_files_is_refused(tmp_path):
    with pytest.raises(DataError, match=re.escape("expected NAME_supervisions_PART.jsonl.gz or NAME_cuts_PART")):
        read_corpus("lhotse", tmp_path, LETTERS)
    write(tmp_path, mine_supervisions_train=[SAID])
    with pytest.raises(DataError, match=r"mine_recordings_train\.jsonl\.gz: expected a readable file, got No such"):
        read_corpus("lhotse", tmp_path, LETTERS)
    write(tmp_path, mine_recordings_train=[{**AUDIO, "id": "other"}])
    with pytest.raises(DataError, match="line 1: expected a recording 'a', found none"):
        read_corpus("lhotse", tmp_path, LETTERS)


@pytest.fixture(scope="module")
def recipes():
    return pytest.importorskip("lhotse.recipes", reason="lhotse is not installed; its manifests are tested by hand")


def same(form, corpus, manifests):
    """Both ways of reading a corpus, without ids, which lhotse numbers."""
    by_layout, by_lhotse = (
        sorted((r.split, str(r.path), r.labels, r.text) for r in read_corpus(kind, folder, LETTERS))
        for kind, folder in ((form, corpus), ("lhotse", manifests))
    )
    assert by_lhotse == by_layout


def test_lhotses_recipe_of_fluent_commands_gives_what_the_corpus_itself_gives(tmp_path, recipes):
    corpus = layouts.fluent_commands(tmp_path / "corpus")
    recipes.prepare_slu(corpus, tmp_path / "manifests")
    same("fluent_commands", corpus, tmp_path / "manifests")


def test_lhotses_recipe_of_librispeech_gives_what_the_corpus_itself_gives(tmp_path, recipes):
    corpus = layouts.librispeech(tmp_path / "corpus")
    recipes.prepare_librispeech(corpus, output_dir=tmp_path / "manifests")
    same("librispeech", corpus, tmp_path / "manifests")


def test_lhotses_recipe_of_speech_commands_gives_the_twelve_classes(tmp_path, recipes):
    corpus = layouts.speech_commands(tmp_path / "corpus")
    recipes.prepare_speechcommands("1", corpus, tmp_path / "manifests")
    found = read_corpus("lhotse", tmp_path / "manifests", LETTERS)
    folders = {"yes": "yes", "go": "go", "bed": "unknown", "_unknown_": "unknown"}
    assert {r.labels[0] for r in found} == {"yes", "go", "unknown", "silence"}
    assert all(r.labels == (folders.get(Path(r.path).parent.name, "silence"),) for r in found)
    assert len(found) == 3 * 24 + 2 + 3


@pytest.mark.parametrize(
    ("given", "labels"),
    [("turn on lamp", ("turn", "on", "lamp")), (["turn on", 3], ("turn_on", "3")), ("cafe\u0301", ("caf\u00e9",))],
)
def test_labels_may_be_a_string_of_words_and_are_never_split_into_letters(tmp_path, given, labels):
    write(tmp_path, mine_cuts_train=[{**CUT, "supervisions": [{**SAID, "custom": {"labels": given}}]}])
    assert told(tmp_path)[0][-1] == labels


def test_labels_of_another_kind_are_refused_with_their_line(tmp_path):
    write(tmp_path, mine_cuts_train=[{**CUT, "supervisions": [{**SAID, "custom": {"labels": {"a": 1}}}]}])
    with pytest.raises(DataError, match=r'cuts_train\.jsonl\.gz line 1: expected "labels" as a list or a string of'):
        read_corpus("lhotse", tmp_path, LETTERS)


@given(row=changed(CUT))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_row_is_an_utterance_in_a_stretch_that_a_file_can_have_or_is_refused(tmp_path, row):
    write(tmp_path, mine_cuts_train=[row])
    try:
        found = read_corpus("lhotse", tmp_path, LETTERS)
    except DataError:
        return
    assert all(0 <= r.start_s <= 1e9 and (r.duration_s is None or 0 < r.duration_s <= 1e9) for r in found)
