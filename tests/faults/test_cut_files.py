"""Files of a killed search cut in the middle of a record, with garbage behind, or gone."""

import random

import pytest

from tests.faults.harness import kill

pytestmark = [pytest.mark.slow, pytest.mark.faults]
FILES = {
    "journal": "journal.log",
    "events for MLflow": "spool/events.jsonl",
    "files for MLflow": "spool/artifacts.jsonl",
    "offset of MLflow": "spool/cursor-*.json",
    "heartbeat": "heartbeat.json",
    "course of a worker": "workers/*.jsonl",
}
GARBAGE = b'{"op_code": 5, "worker_id": "\x00\xff\xfe half a rec'


def cut(path, drawn, garbage):
    """Take half of the last record away, as a crash in the middle of a write does."""
    raw = path.read_bytes()
    last = raw[raw.rstrip(b"\n").rfind(b"\n") + 1 :]
    path.write_bytes(raw[: len(raw) - drawn.randrange(2, max(3, len(last)))] + garbage)


@pytest.mark.parametrize("garbage", [b"", GARBAGE, GARBAGE + b"\n"], ids=["cut", "garbage", "a line of garbage"])
def test_files_that_a_crash_left_in_the_middle_of_a_record_cost_nothing(search, undisturbed, garbage):
    """All of them at once."""
    drawn = random.Random(f"cut {garbage!r}")
    for _ in range(2):
        with search.start() as process:
            search.wait_for_events(process, 3 + drawn.randrange(5))
            kill(process)
        for pattern in FILES.values():
            for path in (search.folder / "s").glob(pattern):
                cut(path, drawn, garbage)
    said = search.end()
    assert "damaged lines were cut out" in said
    found = search.outcome()
    assert (found.trials, found.runs, found.summary) == (undisturbed.trials, undisturbed.runs, undisturbed.summary)
    assert found.points == undisturbed.points


def test_a_spool_that_lost_its_end_is_mended_from_the_study(search, undisturbed):
    """As where the machine crashed: the two files are forced to the disk at different moments."""
    with search.start(mlflow="sqlite:////dev/null/away.db") as process:
        search.wait_for_events(process, 7)
        kill(process)
    events = search.folder / "s" / "spool" / "events.jsonl"
    lines = events.read_bytes().splitlines(keepends=True)
    events.write_bytes(b"".join(lines[:2]))
    assert len(lines) > 5
    search.end()
    found = search.outcome()
    assert (found.trials, found.runs, found.summary) == (undisturbed.trials, undisturbed.runs, undisturbed.summary)
    assert found.statuses == undisturbed.statuses
    assert {point for point in found.points if point[0]} == {point for point in undisturbed.points if point[0]}
