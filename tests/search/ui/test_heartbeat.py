"""The file by which other machines know of a search: while it runs, at its end, and when it was stopped."""

import json

import pytest

from sp_search.search.ui import heartbeat
from sp_search.search.ui.heartbeat import HEARTBEAT_FILE, Heartbeat
from sp_search.search.ui.state import Before
from sp_search.types import Report
from tests.search.searches import settings

SEARCH = {"role": "search", "seed": "1"}


class Clock:
    def __init__(self):
        self.now_s = 0.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock(monkeypatch):
    monkeypatch.setattr(heartbeat, "EVERY_S", 1000.0)  # the thread is no part of these tests
    return Clock()


def begun(tmp_path, clock, before=None):
    config = settings(tmp_path)
    config.folder.mkdir(parents=True)
    beating = Heartbeat(config, before, clock, now=lambda: 1000.0 + clock.now_s)
    beating.study_opened({})
    return beating


def told(tmp_path):
    return json.loads((tmp_path / "s" / HEARTBEAT_FILE).read_text())


def test_a_search_tells_its_phase_its_trials_and_the_best(tmp_path, clock):
    beating = begun(tmp_path, clock, Before({"complete": 1}, {}, (0.7, "trial 0", 1600)))
    assert (told(tmp_path)["how"], told(tmp_path)["phase"], told(tmp_path)["at"]) == ("running", "starting", 1000.0)
    for number, value in ((1, 0.5), (2, 0.8)):
        beating.trial_started(number, {"lr": 0.1}, SEARCH)
        clock.now_s += 10
        beating.reported(number, Report(400, {"valid_accuracy": value, "utterances_per_s": 30.0}))
    beating.trial_finished(1, "FAIL", "RuntimeError: no memory", {})
    beating.beat()
    found = told(tmp_path)
    assert (found["phase"], found["at"], found["utterances_per_s"]) == ("searching", 1020.0, 30.0)
    assert found["trials"] == "2 of 8 trials ended: 1 complete, 0 pruned, 1 failed"
    assert found["best"].startswith("best 0.8000, trial 2 at 400 utterances")
    assert found["running"] == [{"trial": "2", "seen": 400, "value": 0.8}]
    beating.measured(2, Report(900, {"valid_accuracy": 0.75}))
    beating.beat()
    assert told(tmp_path)["running"] == [{"trial": "2", "seen": 900, "value": 0.75}]
    assert found["last_error"] == "trial 1: RuntimeError: no memory"
    assert 0 < found["share"] < 1
    assert " left (" in found["time_left"]


def test_a_search_that_ends_well_is_finished(tmp_path, clock):
    beating = begun(tmp_path, clock)
    beating.study_finished({})
    beating.close(1.0)
    assert told(tmp_path)["how"] == "finished"


@pytest.mark.parametrize(
    ("error", "last"), [(KeyboardInterrupt(), ""), (ValueError("a worker is gone"), "ValueError: a worker is gone")]
)
def test_a_search_that_is_stopped_says_by_what(tmp_path, clock, error, last):
    beating = begun(tmp_path, clock)
    try:
        raise error
    except type(error):
        beating.close(1.0)
    assert (told(tmp_path)["how"], told(tmp_path)["last_error"]) == ("stopped", last)


def test_the_file_is_written_again_and_again_also_behind_a_full_disk(tmp_path, clock, monkeypatch):
    monkeypatch.setattr(heartbeat, "EVERY_S", 0.01)
    beats, write = [], heartbeat.write_text

    def some_fail(path, text):
        beats.append(text)
        if len(beats) == 2:
            raise OSError(28, "No space left on device")
        write(path, text)

    monkeypatch.setattr(heartbeat, "write_text", some_fail)
    beating = begun(tmp_path, clock)
    while len(beats) < 4:
        pass
    beating.close(1.0)
    assert told(tmp_path)["how"] == "stopped"
