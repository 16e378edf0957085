"""CSV rows: a quote that is not closed must not shift those behind it."""

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sp_search.files.table import column_names, rows

NAMES = ["path", "split", "labels", "note"]
KEYS = ("path", "split", "labels")


def read(text, names=NAMES, keys=KEYS):
    return list(rows(enumerate(text.split("\n"), 2), names, keys))


def test_a_header_is_names_and_no_csv_has_none():
    assert column_names('path,"split", labels') == ["path", "split", "labels"]
    assert column_names('"a,b') == []


@pytest.mark.parametrize("quoted", ['"on', 'o"n",x"', '"on" x'])
def test_an_unbalanced_quote_costs_its_own_row_alone(quoted):
    found = read(f'a.wav,train,up,\nb.wav,train,{quoted},\nc.wav,valid,down,\nd.wav,test,"yes",\n')
    assert [(row.number, bool(row.fault)) for row in found] == [(2, False), (3, True), (4, False), (5, False)]
    assert [row.values["labels"] for row in found if row.values] == ["up", "down", "yes"]


def test_two_unbalanced_quotes_that_close_each_other_are_seen():
    found = read('a.wav,train,"up,\nb.wav,train,on,\nc.wav,train,",\nd.wav,test,yes,')
    assert [(row.number, bool(row.fault)) for row in found] == [(2, True), (3, False), (4, True), (5, False)]


def test_a_quote_at_the_end_of_the_file_is_named_where_it_opens():
    (row,) = read('a.wav,train,"up')
    assert row.fault == 'expected a closing quote, got the end of the file for the " that opens here'


def test_a_key_has_no_line_end_and_a_note_may_have_one():
    assert read('a.wav,train,"u\np",')[0].fault == (
        "expected labels on one line, got a quote that opens here and closes 1 line on"
    )
    (row,) = read('a.wav,train,up,"so\nit\nwas"')
    assert row.values["note"] == "so\nit\nwas"


@pytest.mark.parametrize("line", ["a,b", "a,b,c,d,e"])
def test_another_number_of_fields_is_a_fault(line):
    assert read(line)[0].fault == f"expected 4 fields, got {line.count(',') + 1}"


def test_blank_lines_are_no_rows_but_count():
    assert [row.number for row in read("\na,b,c,d\n  \n\ne,f,g,h\n")] == [3, 6]


CELL = st.text(st.characters(exclude_characters="\n\r\0", exclude_categories=["Cs"]), max_size=12)


@settings(max_examples=500, deadline=None)
@given(st.lists(st.lists(CELL, min_size=4, max_size=4), max_size=5))
def test_rows_come_back_as_pythons_own_writer_wrote_them(cells):
    written = io.StringIO()
    csv.writer(written, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows(cells)
    found = list(rows(enumerate(written.getvalue().split("\n"), 2), NAMES, KEYS))
    assert [list(row.values.values()) for row in found] == cells


@settings(max_examples=500, deadline=None)
@given(st.lists(st.text('a,"\n ', max_size=20), max_size=6))
def test_any_text_is_rows_or_faults(lines):
    for row in read("\n".join(lines)):
        assert row.fault or len(row.values) == 4
