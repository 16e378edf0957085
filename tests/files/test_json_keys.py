"""A key that is there twice is told with both lines."""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sp_search.files.json_keys import RepeatedKeyError, json_document

KEY = st.text(st.sampled_from('ab"\\:{}é'), max_size=2)
TREE = st.recursive(st.text(st.sampled_from('"\\:{}\na'), max_size=3), lambda inner: st.lists(st.tuples(KEY, inner)))


def written(tree, found):
    """The text of a tree, a line for each key; `found` gets a list of (line, key) for each object."""
    lines = [""]

    def write(value):
        if isinstance(value, str):
            lines[-1] += json.dumps(value)
            return
        keys = []
        found.append(keys)
        lines[-1] += "{"
        for number, (key, inner) in enumerate(value):
            lines.append("," if number else "")
            keys.append((len(lines), key))
            lines[-1] += f"{json.dumps(key)} : "
            write(inner)
        lines[-1] += "}"

    write(tree)
    return "\n".join(lines)


@settings(max_examples=500, deadline=None)
@given(TREE)
def test_the_first_key_that_its_object_has_already_is_told_with_both_lines(tree):
    objects = []
    text = written(tree, objects)
    repeated = [
        (line, key, next(before for before, other in keys if other == key))
        for keys in objects
        for number, (line, key) in enumerate(keys)
        if key in [other for _, other in keys[:number]]
    ]
    if not repeated:
        assert json_document(text.encode()) == json.loads(text)
        return
    line, key, before = min(repeated)
    told = f"line {line}: expected each key once, got {json.dumps(key)} again, as in line {before}"
    with pytest.raises(RepeatedKeyError, match="^" + re.escape(told) + "$"):
        json_document(text.encode())


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff\xff", b"[" * 100_000])
def test_what_is_no_json_is_a_value_error(raw):
    with pytest.raises(ValueError, match=r"\w"):
        json_document(raw)
