import errno
import logging
import math
import threading
import time

import pytest

from sp_search.tracking.api.tracker import MlflowTracker
from sp_search.tracking.spool.spool import Spool
from tests.tracking.fakes import INFO, FakeStore, report, tell_a_study

URI = "http://user:secret@127.0.0.1:5000"


class Server:
    """A fake server that can go away and come back."""

    def __init__(self):
        self.is_up = True
        self.attempts = 0
        self.store = FakeStore(self.disturb)

    def connect(self, uri):
        self.attempts += 1
        self.disturb("connect")
        return self.store

    def disturb(self, moment):
        if not self.is_up:
            raise ConnectionError(f"API request to {URI}/api failed")


def wait_until(true, timeout_s=10.0):
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_live_server_has_everything_when_the_search_closes(tmp_path):
    server = Server()
    tracker = MlflowTracker(tmp_path / "demo", URI, connect=server.connect, interval_s=0.05)
    tell_a_study(tracker, tmp_path)
    assert tracker.close(timeout_s=10) == 0
    assert {number: run.status for number, run in server.store.by_trial().items()} == dict.fromkeys(
        (None, 0, 1, 2), "FINISHED"
    )


def test_reports_arrive_while_the_search_runs(tmp_path):
    server = Server()
    tracker = MlflowTracker(tmp_path / "demo", URI, connect=server.connect, interval_s=0.01)
    tracker.study_opened(INFO)
    tracker.trial_started(0, {"lr": 0.5})
    for step in range(1, 4):
        tracker.reported(0, report(32 * step, 0.1 * step))
        wait_until(lambda step=step: len(server.store.by_trial().get(0, server).points) == 3 * step
                   if 0 in server.store.by_trial() else False)  # fmt: skip
    assert server.store.requests.count("log") <= 2 * 4
    assert tracker.run_id == "run0"
    tracker.close(1)


def test_a_server_away_for_a_while_gets_everything_and_says_two_lines(tmp_path, caplog):
    caplog.set_level(logging.INFO, "sp_search")
    server = Server()
    server.is_up = False
    tracker = MlflowTracker(tmp_path / "demo", URI, connect=server.connect, interval_s=0.01)
    tell_a_study(tracker, tmp_path)
    wait_until(lambda: server.attempts > 0)
    closing = threading.Timer(0.7, lambda: setattr(server, "is_up", True))
    closing.start()
    assert tracker.close(timeout_s=10) == 0
    said = [record.message for record in caplog.records]
    assert len(said) == 2
    assert said[0].startswith("MLflow at http://***@127.0.0.1:5000 is away (API request to http://***@127.0.0.1:5000")
    assert said[1].startswith("MLflow at http://***@127.0.0.1:5000 is back")


def test_a_dead_server_costs_the_search_nothing_but_the_time_to_close(tmp_path, caplog):
    server = Server()
    server.is_up = False
    tracker = MlflowTracker(tmp_path / "demo", URI, connect=server.connect, interval_s=0.01)
    tell_a_study(tracker, tmp_path)
    start = time.monotonic()
    left = tracker.close(timeout_s=0.3)
    assert time.monotonic() - start < 1.0
    lines = len(Spool(tmp_path / "demo" / "spool").events.read_bytes().splitlines())
    assert left == lines + 2
    last = caplog.records[-1].message
    assert last.endswith("run `sp-search sync` to send them")
    assert f"has not taken {left} events yet" in last
    assert "secret" not in caplog.text


def test_a_request_that_hangs_does_not_hold_the_search_beyond_its_timeout(tmp_path):
    freed = threading.Event()
    store = FakeStore(lambda moment: freed.wait(20) and None)
    tracker = MlflowTracker(tmp_path / "demo", URI, connect=lambda uri: store, interval_s=0.01)
    tell_a_study(tracker, tmp_path)
    start = time.monotonic()
    assert tracker.close(timeout_s=0.2) > 0
    assert time.monotonic() - start < 1.0
    freed.set()


def test_a_failing_server_is_asked_more_and_more_rarely(tmp_path, monkeypatch):
    from sp_search.tracking.upload import uploader

    monkeypatch.setattr(uploader, "_FIRST_WAIT_S", 0.05)
    server = Server()
    server.is_up = False
    tracker = MlflowTracker(tmp_path / "demo", URI, connect=server.connect, interval_s=0.005)
    start = time.monotonic()
    tracker.study_opened(INFO)
    time.sleep(1.2)
    attempts, waits = server.attempts, (time.monotonic() - start) / 0.05
    tracker.close(0)
    assert 3 <= attempts <= 1 + math.log2(1 + waits)  # after 0, 1, 3, 7, ... first waits


@pytest.mark.parametrize("error", [ImportError("No module named 'boto3'"), RuntimeError("anything"), KeyError("x")])
def test_no_error_of_a_store_reaches_the_search(tmp_path, error, caplog):
    def connect(uri):
        raise error

    tracker = MlflowTracker(tmp_path / "demo", URI, connect=connect, interval_s=0.01)
    tell_a_study(tracker, tmp_path)
    assert tracker.close(timeout_s=0.1) > 0
    assert "is away" in caplog.text


def test_a_store_that_takes_no_files_still_gets_every_metric(tmp_path):
    def disturb(moment):
        if moment == "before upload":
            raise ImportError("No module named 'boto3'")

    store = FakeStore(disturb)
    tracker = MlflowTracker(tmp_path / "demo", URI, connect=lambda uri: store, interval_s=0.01)
    tell_a_study(tracker, tmp_path)
    assert tracker.close(timeout_s=1) == 2
    assert store.by_trial()[None].status == "FINISHED"


def test_a_full_disk_of_this_machine_is_not_told_as_a_server_that_is_away(tmp_path, caplog):
    def full(uri):
        raise OSError(errno.ENOSPC, "No space left on device")

    tracker = MlflowTracker(tmp_path / "demo", URI, interval_s=0.05, connect=full)
    tracker.study_opened(INFO)
    wait_until(lambda: caplog.records)
    tracker.close(0)
    said = caplog.records[0].getMessage()
    assert said.startswith(
        "a disk is full ([Errno 28] No space left on device); the search goes on, events for MLflow"
    )
