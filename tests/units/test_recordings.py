"""The plain manifest of a corpus in audio."""

import gzip
import json
import re

import pytest

from sp_search.errors import DataError
from sp_search.units.recordings import Recording, read_manifest

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ'"
WANTED = [
    Recording(id="a", split="train", path="wavs/a.wav", labels=("change_language", "none", "none"), text="Set it"),
    Recording(
        id="3",
        split="test",
        path="/far/b.flac",
        labels=tuple("IT'S|ON"),
        text="it's  on",
        start_s=1.5,
        duration_s=2.0,
    ),
]


def in_folder(folder, recordings):
    return [Recording(**{**vars(recording), "path": folder / recording.path}) for recording in recordings]


def test_csv_and_json_lines_say_the_same_thing(tmp_path):
    (tmp_path / "a.csv").write_text(
        "id,path,split,labels,text,start_s,duration_s,speaker\n"
        "a,wavs/a.wav,train,change_language none none,Set it,,,bob\n"
        ",/far/b.flac,test,,it's  on,1.5,2,eve\n"
    )
    records = [
        {
            "id": "a",
            "path": "wavs/a.wav",
            "split": "train",
            "labels": ["change language", "none", "none"],
            "text": "Set it",
        },
        {
            "path": "/far/b.flac",
            "split": "test",
            "text": "it's  on",
            "start_s": 1.5,
            "duration_s": 2,
            "id": 3,
            "age": 4,
        },
    ]
    lines = "".join(json.dumps(record) + "\n" for record in records)
    (tmp_path / "b.jsonl").write_text(lines)
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    for name in ("a.csv", "b.jsonl", "b.jsonl.gz"):
        assert read_manifest(tmp_path / name, LETTERS) == in_folder(tmp_path, WANTED)


BAD_JSON = {
    "not json": "{",
    "a list": "[1]",
    "no path": '{"split": "train", "labels": ["a"]}',
    "split": '{"path": "a.wav", "split": "dev", "labels": ["a"]}',
    "no answer": '{"path": "a.wav", "split": "train"}',
    "label": '{"path": "a.wav", "split": "train", "labels": [["a"]]}',
    "separator": '{"path": "a.wav", "split": "train", "labels": "a <s> b"}',
    "character": '{"path": "a.wav", "split": "train", "text": "caf\\u00e9"}',
    "seconds": '{"path": "a.wav", "split": "train", "labels": "a", "duration_s": 0}',
    "number": '{"path": "a.wav", "split": "train", "labels": "a", "start_s": "soon"}',
}


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("not json", "expected a JSON object, got Expecting property name enclosed in double quotes at column 2"),
        ("a list", "expected a JSON object, got another value"),
        ("no path", 'expected "path", got None'),
        ("split", "expected split train, valid, test, got 'dev'"),
        ("no answer", f"expected text of \"{LETTERS}\" and blanks, got ''"),
        ("label", "expected \"labels\" as a list or a string of words, none of them `<s>`, got [['a']]"),
        ("separator", "expected \"labels\" as a list or a string of words, none of them `<s>`, got 'a <s> b'"),
        ("character", f"expected text of \"{LETTERS}\" and blanks, got 'É' in 'café'"),
        ("seconds", 'expected "duration_s" in seconds, got 0'),
        ("number", "expected \"start_s\" in seconds, got 'soon'"),
    ],
)
def test_a_bad_line_is_named_with_what_was_expected(tmp_path, kind, message):
    good = '{"path": "a.wav", "split": "train", "labels": "a"}\n'
    (tmp_path / "m.jsonl").write_text(good + BAD_JSON[kind].strip("\n") + "\n")
    with pytest.raises(DataError, match=re.escape(f"m.jsonl line 2: {message}")):
        read_manifest(tmp_path / "m.jsonl", LETTERS)


def test_an_id_names_one_utterance_of_a_split(tmp_path):
    rows = ["a.wav,train,x,7", "b.wav,test,x,7", "c.wav,train,x,7"]
    (tmp_path / "m.csv").write_text("path,split,labels,id\n" + "\n".join(rows) + "\n")
    with pytest.raises(DataError, match=r"m\.csv line 4: expected an id of its own, got '7' as in line 2"):
        read_manifest(tmp_path / "m.csv", LETTERS)


def test_ten_bad_lines_are_named_and_the_others_counted(tmp_path):
    (tmp_path / "m.csv").write_text("path,split,labels\n" + "a.wav,dev,x\n" * 12)
    with pytest.raises(DataError, match=r"12 bad lines: line 2: .* line 11: .* \(and 2 more\)$"):
        read_manifest(tmp_path / "m.csv", LETTERS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected JSON lines, or CSV whose first line names path, split and labels or text, got ''"),
        ("a.wav,train,yes\n", "expected JSON lines, or CSV whose first line names path, split"),
        ("path,split,labels\n", "expected at least one utterance, got none"),
        ("path,split,labels\na.wav,train,yes,no,up\n", "line 2: expected 3 fields, got 5"),
    ],
)
def test_a_file_that_is_no_manifest_is_refused(tmp_path, text, message):
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(DataError, match=re.escape(message)):
        read_manifest(tmp_path / "m.csv", LETTERS)
