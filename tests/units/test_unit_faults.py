"""The message about a word that is no unit knows the cause."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sp_search.errors import DataError
from sp_search.units.dictionary import Dictionary
from sp_search.units.lines import LineReader
from sp_search.units.unit_faults import known_in

NUMBERS = Dictionary([*(str(unit) for unit in range(100)), "madeupword0000"])
GAPS = Dictionary(["61", "3", "17"])
WORDS = Dictionary(["aa", "b"])

FILLER = "; such a filler only pads the dictionary, and no speech has it: was the file written by its ids?"
CAUSES = {
    "137": "; was it made with a quantizer of more clusters?",
    "9" * 30: "; was it made with a quantizer of more clusters?",
    "-1": "; no unit is negative: is it padding or a mask, such as -1?",
    "7.0": "; units are whole numbers: were they written as floats?",
    "1e3": "; units are whole numbers: were they written as floats?",
    ".5": "; units are whole numbers: were they written as floats?",
    "on": "; is it a label? Labels come after `<s>`, or in a field of their own",
    "été": "; is it a label? Labels come after `<s>`, or in a field of their own",
    "12,44,7": "; units are parted by blanks alone: take commas and brackets out",
    "12,": "; units are parted by blanks alone: take commas and brackets out",
    "[12,": "; units are parted by blanks alone: take commas and brackets out",
    "12]": "; units are parted by blanks alone: take commas and brackets out",
    "007": "; it is padded with zeros: write 7",
    "00": "; it is padded with zeros: write 0",
    "７": "; its digits are not 0 to 9: write them so",
    "٧": "; its digits are not 0 to 9: write them so",
    "madeupword0000": FILLER,
    "madeupword0001": FILLER,
    "<pad>": "; a special of fairseq has no place among an utterance's units: take it out",
    "</s>": "; a special of fairseq has no place among an utterance's units: take it out",
    "<unk>": "; a special of fairseq has no place among an utterance's units: take it out",
    "u12": "; units are plain numbers here",
    "+7": "; units are plain numbers here",
    "1_0": "; units are plain numbers here",
    "²": "; units are plain numbers here",
}


def read(*lines, dictionary=NUMBERS, labelled=False):
    return list(LineReader(lines, "train.txt", known_in(dictionary), labelled=labelled))


@pytest.mark.parametrize(("unit", "why"), CAUSES.items(), ids=map(ascii, CAUSES))
def test_each_kind_of_wrong_unit_has_its_own_cause(unit, why):
    place = "train.txt line 3: expected units of the LM's dictionary (100 units, 0 to 99), got "
    with pytest.raises(DataError, match="^" + re.escape(f"{place}{unit!r}{why}") + "$"):
        read("1 2", "3", f"4 {unit} 5")


def test_a_dictionary_is_described_by_what_it_has():
    with pytest.raises(
        DataError, match=r"\(3 units, such as '61', '3', '17'\), got '5'; it has no entry in dict\.txt"
    ):
        read("61 5", dictionary=GAPS)
    with pytest.raises(
        DataError, match=r"\(2 units, such as 'aa', 'b'\), got '5'; was it made with another quantizer"
    ):
        read("aa 5", dictionary=WORDS)


def test_a_forgotten_separator_is_asked_for_where_labels_are_needed():
    with pytest.raises(DataError, match=r"^train\.txt line 2: .* got 'on'; is it a label\? Labels come after `<s>`"):
        read("1 2 <s> on", "1 2 3 on lamp", labelled=True)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"units": [1.0, 2.0]}', 'expected "units" as whole numbers, got 1.0; were they written as floats?'),
        ('{"units": [[1, 2], [3]]}', 'expected "units" of one utterance, got a list in a list: [[1, 2], [3]]'),
        ('{"units": [true]}', 'expected "units" as a list or a string of words, got [True]'),
        ('{"units": [1, ""]}', "expected \"units\" as a list or a string of words, got [1, '']"),
        (
            r'{"units": "1", "labels": "\ud800"}',
            r"expected whole characters, got half of one (\ud800) in a JSON escape",
        ),
        ("1 2 <s> on </s>", "expected labels, got '</s>' among them; a line is one utterance without it"),
        ('{"units": "1", "labels": ["<pad>"]}', "expected labels, got '<pad>' among them"),
    ],
)
def test_other_faults_of_a_line_are_told_too(line, message):
    with pytest.raises(DataError, match="^" + re.escape(f"train.txt line 1: {message}")):
        read(line)


@settings(max_examples=700, deadline=None)
@given(st.lists(st.one_of(st.text(max_size=12), st.integers(-200, 200).map(str), st.sampled_from(sorted(CAUSES)))))
def test_any_line_of_units_is_read_or_refused_with_its_number(words):
    line = " ".join(words)
    if not line.strip() or line.strip()[0] in "{[" or "|" in line or "<s>" in line:
        return
    known = set(line.split()) <= set(map(str, range(100)))
    told = ""
    try:
        (found,) = read("", line)
        assert found.units == tuple(line.split())
    except DataError as error:
        told = str(error)
    assert (told == "") == known
    assert known or told.startswith("train.txt line 2: expected ")


@settings(max_examples=500, deadline=None)
@given(st.text(min_size=1, max_size=40))
def test_any_text_is_an_utterance_or_refused_with_its_line(text):
    told = ""
    try:
        read("1 2", text)
    except DataError as error:
        told = str(error)
    assert not told or told.startswith("train.txt line 2: ")
