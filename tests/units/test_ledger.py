"""A ledger mends its tail: what is damaged is left out and said, and never ends a run."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sp_search.errors import ConfigError, DataError
from sp_search.units.ledger import Ledger
from sp_search.units.unitizer import Heard

KEYS = ("a", "b", "c")


def written(path, keys=KEYS):
    ledger = Ledger(path)
    for number, key in enumerate(keys):
        ledger.add(Heard(key, (number, number + 1), ""))
    ledger.close()
    return path.read_bytes()


def known(path):
    ledger = Ledger(path)
    found = {key: ledger.units(key) for key in KEYS if key in ledger}
    ledger.close()
    return found


WHOLE = {"a": "0 1", "b": "1 2", "c": "2 3"}


@pytest.mark.parametrize(
    ("damage", "left", "lines"),
    [
        (lambda raw: raw[:-5], ("a", "b"), 1),
        (lambda raw: raw[:-1], ("a", "b"), 1),
        (lambda raw: raw + b"\0" * 512, KEYS, 1),
        (lambda raw: raw + b"garbage\n", KEYS, 1),
        (lambda raw: raw + b'{"key": 3, "units": "1"}\n[]\n', KEYS, 2),
        (lambda raw: raw.replace(b'"1 2"', b'"1 x"'), ("a", "c"), 1),
        (lambda raw: raw.replace(b'{"key": "b"', b'\xff\xfe\0 "b"'), ("a", "c"), 1),
        (lambda raw: b"\n" + raw, KEYS, 1),
    ],
)
def test_damaged_lines_are_left_out_and_said_in_one_line(tmp_path, capsys, damage, left, lines):
    path = tmp_path / "done" / "a.jsonl"
    path.write_bytes(damage(written(path)))
    assert known(path) == {key: WHOLE[key] for key in left}
    assert capsys.readouterr().err == (
        f"sp-search: {path}: left out {lines} damaged line{'s' * (lines > 1)}; what they held is heard again\n"
    )


def test_what_is_added_behind_a_torn_tail_is_there_again(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(written(path)[:-5])
    ledger = Ledger(path)
    ledger.add(Heard("c", (2, 3), ""))
    ledger.close()
    assert known(path) == WHOLE
    assert all(json.loads(line) for line in path.read_text().splitlines())


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(noise=st.binary(max_size=30), at=st.integers(0, 100), cut=st.integers(0, 40))
def test_no_damage_ends_a_run(tmp_path, noise, at, cut):
    path = tmp_path / "a.jsonl"
    path.unlink(missing_ok=True)
    raw = written(path)
    path.write_bytes(raw[:at] + noise + raw[at + cut :])
    for key, units in known(path).items():
        assert all(unit.isdecimal() for unit in units.split()), key


def test_two_runs_do_not_write_one_ledger(tmp_path):
    first = Ledger(tmp_path / "a.jsonl")
    with pytest.raises(DataError, match=r"a\.jsonl: expected no other run that writes it, found one; wait for"):
        Ledger(tmp_path / "a.jsonl")
    first.close()
    Ledger(tmp_path / "a.jsonl").close()


def test_a_ledger_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"a\.jsonl: expected to write there, got .*; choose another to="):
        Ledger(tmp_path / "file" / "a.jsonl")
