import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sp_search.errors import DataError
from sp_search.units.line_forms import Line
from sp_search.units.lines import CorpusForm, LineReader

UNITS = {"5", "6", "7"}


def read(*lines, labelled=True, **field):
    return list(LineReader(lines, "train.txt", UNITS.__contains__, labelled=labelled, **field))


FORMS = {
    "plain": ["5 6 <s> on lamp", "7 <s> off lamp"],
    "plain, wide blanks": ["  5   6 <s>  on lamp ", "7 <s>\toff\tlamp"],
    "named": ["1|5 6|on lamp", "2|7|off lamp"],
    "json, lists": [
        '{"id": 1, "units": [5, 6], "labels": ["on", "lamp"]}',
        '{"id": 2, "units": ["7"], "labels": ["off", "lamp"]}',
    ],
    "json, strings": [
        '{"units": "5 6", "labels": "on lamp", "speaker": "a"}',
        '{"labels": "off lamp", "units": "7"}',
    ],
}


@pytest.mark.parametrize("lines", FORMS.values(), ids=FORMS)
def test_each_form_is_told_by_its_first_line_and_gives_the_same_utterances(lines):
    assert read(*lines) == [Line("1", ("5", "6"), ("on", "lamp")), Line("2", ("7",), ("off", "lamp"))]


@given(
    st.lists(
        st.tuples(
            st.text("abc/_-.", min_size=1),
            st.lists(st.sampled_from(sorted(UNITS)), min_size=1),
            st.lists(st.text("abc", min_size=1), min_size=1),
        ),
        min_size=1,
    )
)
def test_what_was_written_is_what_is_read(rows):
    wanted = [Line(name, tuple(units), tuple(labels)) for name, units, labels in rows]
    assert read(*(f"{name}|{' '.join(units)}|{' '.join(labels)}" for name, units, labels in rows)) == wanted
    assert read(*(json.dumps({"id": n, "units": u, "labels": la}) for n, u, la in rows)) == wanted
    plain = read(*(f"{' '.join(units)} <s> {' '.join(labels)}\n" for _, units, labels in rows))
    assert [(line.units, line.labels) for line in plain] == [(line.units, line.labels) for line in wanted]


@pytest.mark.parametrize("line", ["5 6", "name|5 6", '{"units": "5 6"}'])
def test_labels_may_be_missing_where_answers_are_asked_for(line):
    assert read(line, labelled=False)[0].labels == ()


BAD_LINES = {
    "an unknown unit": (
        "5 137 <s> on",
        "expected units of the dictionary, got '137'",
    ),
    "no separator": ("5 6 7", "expected labels behind one `<s>`, got none"),
    "nothing behind the separator": ("5 6 <s>", "expected labels behind one `<s>`, got none"),
    "two separators": ("5 <s> on <s> lamp", "expected one `<s>` between units and labels, got 2"),
    "two separators side by side": ("5 <s> <s> on", "expected one `<s>` between units and labels, got 2"),
    "no unit": ("<s> on lamp", "expected at least one unit, got an empty utterance"),
    "one field": ("a|", "expected at least one unit, got an empty utterance"),
    "four fields": ("a|5|on|lamp", "expected name|units|labels, got 4 fields"),
    "no label in a named line": ("a|5|", "expected labels behind one `<s>`, got none"),
    "a separator in a named line": ("a|5 <s> on|lamp", "expected name|units|labels, got `<s>` as well"),
    "cut JSON": ('{"units": [5, 6', "expected a JSON object, got Expecting ',' delimiter at column 16"),
    "JSON without units": ('{"labels": ["on"]}', 'expected a JSON object with "units", got none'),
    "JSON with a number for units": (
        '{"units": 5, "labels": "on"}',
        'expected "units" as a list or a string of words, got 5',
    ),
    "JSON that says its labels twice": (
        '{"units": "5", "labels": ["on"], "labels": ["off"]}',
        'expected each key once, got "labels" twice',
    ),
    "JSON with nested labels": (
        '{"units": "5", "labels": [["on"]]}',
        'expected "labels" as a list or a string of words, got [[\'on\']]',
    ),
}  # fmt: skip


@pytest.mark.parametrize(("line", "message"), BAD_LINES.values(), ids=BAD_LINES)
def test_a_bad_line_is_refused_with_its_place(line, message):
    with pytest.raises(DataError, match=re.escape(f"train.txt line 1: {message}")):
        read(line)


def test_a_line_of_another_form_than_the_first_is_bad_not_guessed():
    with pytest.raises(
        DataError, match=r"^train\.txt line 2: expected JSON lines as in the lines around it, got name"
    ):
        read('{"units": "5", "labels": "on"}', "name|5|on")


def test_every_bad_line_is_counted_and_the_first_ten_are_shown():
    lines = ["5 <s> on" if number % 2 else f"{number} <s> on" for number in range(100, 125)]
    with pytest.raises(DataError, match=r"^train\.txt: 13 bad lines: line 1: .* \(and 3 more\)$") as caught:
        read(*lines)
    assert re.findall(r"line (\d+)", str(caught.value)) == [str(number) for number in range(1, 20, 2)]


def test_one_bad_line_among_good_ones_stops_the_reading():
    with pytest.raises(DataError, match=r"^train\.txt line 3: expected at least one unit, got an empty utterance"):
        read("5 <s> on", "6 <s> on", "<s> on", "7 <s> on")


def test_blank_lines_are_passed_over_and_counted():
    assert [line.id for line in read("", "5 <s> on", "  ", "6 <s> on", "")] == ["2", "4"]
    with pytest.raises(DataError, match=r"^train\.txt line 4: expected units"):
        read("", "5 <s> on", "\t", "9 <s> on")


def test_no_line_at_all_is_refused():
    with pytest.raises(DataError, match=r"^train\.txt: expected at least one utterance, got an empty file$"):
        read()


def test_a_json_line_has_its_labels_in_the_field_that_is_named():
    line = '{"units": "5", "labels": ["on"], "text": "light up"}'
    assert read(line, field="text") == [Line("1", ("5",), ("light", "up"))]
    assert read("5 <s> light up", field="text") == [Line("1", ("5",), ("light", "up"))]


def test_a_json_line_that_says_null_is_of_other_tasks():
    lines = '{"units": "5", "keyword": "on"}', '{"units": "6", "keyword": null}'
    assert [line.id for line in read(*lines, field="keyword")] == ["1"]
    assert [line.labels for line in read(*lines, field="keyword", labelled=False)] == [("on",), None]


def test_a_json_line_without_the_field_is_bad():
    with pytest.raises(DataError, match=r'^train.txt line 2: expected labels in "keyword", got none$'):
        read('{"units": "5", "keyword": "on"}', '{"units": "6", "labels": "on"}', field="keyword")


def test_a_file_of_nulls_has_no_utterance():
    with pytest.raises(DataError, match=r"^train.txt: expected at least one utterance, got none with labels$"):
        read('{"units": "5", "keyword": null}', field="keyword")


def test_the_form_is_that_of_most_lines_and_the_first_other_one_is_named():
    with pytest.raises(DataError, match=r"^train\.txt line 1: expected units <s> labels as .*, got JSON lines: '\{"):
        read('{"units": "5"}', "5 <s> on", "6 <s> on")
    late = ["5 <s> on"] * 400 + ["a|5|on"]
    with pytest.raises(DataError, match=r"^train\.txt line 401: expected units <s> labels as .*, got name\|units"):
        read(*late)


def test_a_bar_among_the_labels_does_not_make_a_line_a_named_one():
    assert read("5 6 <s> t o | b e")[0].labels == ("t", "o", "|", "b", "e")


def test_the_form_is_told():
    for lines, form in [
        (["5 6"], "units <s> labels"),
        (["a|5"], "name|units|labels"),
        (['{"units":"5"}'], "JSON lines"),
    ]:
        reader = LineReader(lines, "train.txt", UNITS.__contains__, labelled=False)
        assert len(list(reader)) == 1
        assert reader.form == form
    assert str(CorpusForm("train.jsonl.gz", "JSON lines", 23132)) == "train.jsonl.gz: JSON lines, 23,132 utterances"


def test_one_label_has_one_spelling():
    composed, apart = "caf\u00e9", "cafe\u0301"
    assert {read(f"5 <s> {label}")[0].labels for label in (composed, apart)} == {(composed,)}
    assert read(json.dumps({"units": "5", "labels": [apart]}))[0].labels == (composed,)
