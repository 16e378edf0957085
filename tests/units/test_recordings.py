"""The plain manifest of a corpus in audio."""

import gzip
import json
import re

import pytest
from hypothesis import HealthCheck, given, settings

from sp_search.errors import DataError
from sp_search.units.recordings import Recording, read_manifest
from tests.any_json import changed

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ'"
WANTED = [
    Recording(
        id="a",
        split="train",
        path="wavs/a.wav",
        labels=("change_language", "none", "none"),
        text="Set it",
        fields={"speaker": "bob"},
    ),
    Recording(
        id="3",
        split="test",
        path="/far/b.flac",
        labels=tuple("IT'S|ON"),
        text="it's  on",
        fields={"speaker": "eve"},
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
            "speaker": "bob",
        },
        {
            "path": "/far/b.flac",
            "split": "test",
            "text": "it's  on",
            "start_s": 1.5,
            "duration_s": 2,
            "id": 3,
            "speaker": "eve",
            "heights": [4],
        },
    ]
    lines = "".join(json.dumps(record) + "\n" for record in records)
    (tmp_path / "b.jsonl").write_text(lines)
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(lines.encode(), mtime=0))
    for name in ("a.csv", "b.jsonl", "b.jsonl.gz"):
        assert read_manifest(tmp_path / name, LETTERS) == in_folder(tmp_path, WANTED)


def test_other_columns_are_answers_in_one_word_and_slots_in_several(tmp_path):
    (tmp_path / "a.csv").write_text(
        "path,split,emotion,slots,text\na.wav,train,very happy,B-city new  york E-city,caf\u00e9 5\nb.wav,test,,,\n"
    )
    (tmp_path / "a.csv").write_text((tmp_path / "a.csv").read_text() + "")
    with pytest.raises(DataError, match=r"a\.csv line 3: expected text of "):
        read_manifest(tmp_path / "a.csv", LETTERS)
    (tmp_path / "a.csv").write_text((tmp_path / "a.csv").read_text().replace("b.wav,test,,,", "b.wav,test,sad,,"))
    one, other = read_manifest(tmp_path / "a.csv", LETTERS)
    assert (one.labels, one.text) == ((), "caf\u00e9 5")  # which letters can't spell; there are other answers
    assert one.fields == {"emotion": "very_happy", "slots": "B-city new york E-city"}
    assert (other.labels, other.fields) == ((), {"emotion": "sad", "slots": None})


def test_a_column_of_units_is_refused_beside_audio(tmp_path):
    (tmp_path / "a.csv").write_text("path,split,labels,units\na.wav,train,on,1 2\n")
    with pytest.raises(
        DataError, match=r'a\.csv line 2: expected no column "units" in a table of audio, got .1 2.; rename it'
    ):
        read_manifest(tmp_path / "a.csv", LETTERS)


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
        (
            "",
            "split and an answer (labels, text, keyword, slots, or a column with one label), got ''",
        ),
        ("a.wav,train,yes\n", "expected JSON lines, or CSV whose first line names path, split"),
        ("path,split,labels\n", "expected at least one utterance, got none"),
        ("path,split,labels\na.wav,train,yes,no,up\n", "line 2: expected 3 fields, got 5"),
    ],
)
def test_a_file_that_is_no_manifest_is_refused(tmp_path, text, message):
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(DataError, match=re.escape(message)):
        read_manifest(tmp_path / "m.csv", LETTERS)


ROWS = ["a.wav,train,up", "b.wav,train,{odd}", "c.wav,valid,down", 'd.wav,test,"yes"']


@pytest.mark.parametrize(
    ("odd", "message"),
    [
        ('"on', 'expected a closing quote, got none for the " that opens here (1 line on, other rows begin)'),
        ('o"n",x"', "expected 3 fields, got 4"),
        ('"on" x', "expected CSV, got a faulty quote (',' expected after '\"')"),
        ('"o\nn"', "expected labels on one line, got a quote that opens here and closes 1 line on"),
        ("on,", "expected 3 fields, got 4"),
    ],
)
def test_an_odd_quote_costs_its_own_row_and_is_named_where_it_opens(tmp_path, odd, message):
    (tmp_path / "m.csv").write_text("path,split,labels\n" + "\n".join(ROWS).format(odd=odd) + "\n")
    with pytest.raises(DataError, match="^" + re.escape(f"{tmp_path / 'm.csv'} line 3: {message}")):
        read_manifest(tmp_path / "m.csv", LETTERS)


def test_a_row_that_lacks_fields_and_a_column_that_is_there_twice_are_refused(tmp_path):
    (tmp_path / "m.csv").write_text("path,split,labels,id\na.wav,train,up\n")
    with pytest.raises(DataError, match=r"m\.csv line 2: expected 4 fields, got 3$"):
        read_manifest(tmp_path / "m.csv", LETTERS)
    (tmp_path / "m.csv").write_text("path,split,labels,labels\na.wav,train,up,down\n")
    with pytest.raises(DataError, match=r"m\.csv: expected one column labels, got 2$"):
        read_manifest(tmp_path / "m.csv", LETTERS)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_manifest_of_any_editor_says_the_same_thing(tmp_path, encoding, end):
    text = f'path,split,labels,note{end}{end}a.wav,train,on,"so{end}it{end}was"{end}b.wav,test,caf\u00e9,{end}'
    (tmp_path / "m.csv").write_bytes(text.encode(encoding))
    found = read_manifest(tmp_path / "m.csv", LETTERS)
    assert [(one.id, one.labels) for one in found] == [("3", ("on",)), ("6", ("caf\u00e9",))]


def test_a_label_has_one_spelling_in_either_form(tmp_path):
    (tmp_path / "m.csv").write_text("path,split,labels\na.wav,train,cafe\u0301\n")
    (tmp_path / "m.jsonl").write_text('{"path": "a.wav", "split": "train", "labels": ["cafe\\u0301"]}')
    for name in ("m.csv", "m.jsonl"):
        assert read_manifest(tmp_path / name, LETTERS)[0].labels == ("caf\u00e9",)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("~nouser9/a.wav", "path: expected a path, got '~nouser9/a.wav', but there is no user nouser9"),
        ("a\\u0000.wav", "path: expected a path, got one with a NUL byte"),
        ("a" * 300, "path: expected names of up to 255 bytes in a path, got one of 300"),
        ("a\\ud800", "expected whole characters, got half of one (\\ud800) in a JSON escape"),
    ],
)
def test_a_path_that_no_file_has_is_refused_with_its_line(tmp_path, path, message):
    (tmp_path / "m.jsonl").write_text(f'\n{{"path": "{path}", "split": "train", "labels": ["a"]}}\n')
    with pytest.raises(DataError, match=re.escape(f"m.jsonl line 2: {message}")):
        read_manifest(tmp_path / "m.jsonl", LETTERS)


ROW = {
    "id": "a", "path": "a.wav", "split": "train", "labels": ["on", "now"], "text": "on now", "start_s": 1.5,
    "duration_s": 2, "emotion": "happy", "slots": "B-x on E-x",
}  # fmt: skip


@given(row=changed(ROW))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_row_is_an_utterance_in_a_stretch_that_a_file_can_have_or_is_refused(tmp_path, row):
    (tmp_path / "a.jsonl").write_text(
        json.dumps({"path": "b.wav", "split": "test", "text": "x"}) + "\n" + json.dumps(row)
    )
    try:
        found = read_manifest(tmp_path / "a.jsonl", LETTERS)
    except DataError:
        return
    for one in found:
        assert 0 <= one.start_s <= 1e9
        assert one.duration_s is None or 0 < one.duration_s <= 1e9
        assert one.labels or one.text or any(one.fields.values())
        assert all(label == "".join(label.split()) for label in one.labels)


@pytest.mark.parametrize("key", ["start_s", "duration_s"])
@pytest.mark.parametrize("value", ["1" + "0" * 400, "1e305", "-1", "null1", "[]", "{}", '"x"'])
def test_a_place_that_no_recording_has_is_refused(tmp_path, key, value):
    (tmp_path / "a.jsonl").write_text(f'{{"path": "a.wav", "split": "train", "text": "on", "{key}": {value}}}')
    if value == "[]":  # as an empty cell of a table
        assert read_manifest(tmp_path / "a.jsonl", LETTERS)
        return
    with pytest.raises(DataError, match="line 1: expected"):
        read_manifest(tmp_path / "a.jsonl", LETTERS)
