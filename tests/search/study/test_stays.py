"""When each trial was on which worker: read from what workers wrote, whatever else lies beside it."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sp_search.search.study.stays import Stay, read_stays
from tests.any_json import changed

CALLS = [
    {"t": 10**9, "call": "begin", "sizes": {}},
    {"t": 2 * 10**9, "call": "add", "number": 4, "params": {}, "seed": 0, "budget": 64},
    {"t": 5 * 10**9, "call": "remove", "number": 4},
]


def write(path, calls):
    path.write_text("".join(json.dumps(call) + "\n" for call in calls))


def test_a_stay_is_from_a_trials_coming_to_its_going(tmp_path):
    write(tmp_path / "1.jsonl", CALLS)
    (tmp_path / "2.jsonl").mkdir()
    (tmp_path / "3.jsonl").write_bytes(b"\xff\x00\n")
    assert read_stays(tmp_path) == [Stay("1.jsonl", 4, 2.0, 5.0, 64)]


@pytest.mark.parametrize(
    "changes", [{"t": 10**400}, {"budget": 1 << 63}, {"number": True}], ids=["time", "budget", "number"]
)
def test_a_call_with_a_number_that_no_worker_writes_is_passed_over(tmp_path, changes):
    write(tmp_path / "1.jsonl", [CALLS[0], CALLS[1] | changes, CALLS[2]])
    assert read_stays(tmp_path) == []


@given(calls=st.lists(changed(CALLS[1]) | changed(CALLS[2]), min_size=1, max_size=4))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_lines_are_stays_or_passed_over(tmp_path, calls):
    write(tmp_path / "1.jsonl", [CALLS[1], *calls])
    assert all(type(stay.budget) is int for stay in read_stays(tmp_path))
