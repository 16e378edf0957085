"""JSON values: what is no whole text or number is refused."""

import contextlib
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sp_search.files.json_line import LineError, json_value


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "expected a JSON object, got Expecting property name enclosed in double quotes at column 2"),
        ('{"a": NaN}', "expected a JSON object, got NaN, which JSON does not have"),
        ('{"a": -Infinity}', "expected a JSON object, got -Infinity, which JSON does not have"),
        ("[" * 100_000, "expected a JSON object, got one nested too deeply"),
        ("9" * 5000, "expected a JSON object, got a number that is too long to read"),
        (r'{"a": ["on\ud800"]}', r"expected whole characters, got half of one (\ud800) in a JSON escape"),
        ('{"a": 1, "b": {"c": 1, "c": 2}}', 'expected each key once, got "c" twice'),
        (r'{"\uDFff": 1}', r"expected whole characters, got half of one (\udfff) in a JSON escape"),
    ],
)
def test_a_bad_value_is_refused(line, message):
    with pytest.raises(LineError, match="^" + re.escape(message)):
        json_value(line)


@settings(max_examples=300, deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=10), st.booleans())
def test_what_was_written_is_what_is_read(value, ascii_only):
    assert json_value(json.dumps(value, ensure_ascii=ascii_only)) == value


@settings(max_examples=500, deadline=None)
@given(st.text(st.sampled_from('{}[]",:\\ud8e01.9eNaI-tru '), max_size=30))
def test_any_line_is_a_value_or_refused(line):
    with contextlib.suppress(LineError):
        json.dumps(json_value(line), ensure_ascii=False).encode()
