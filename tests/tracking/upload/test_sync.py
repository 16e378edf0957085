import time

import pytest

from sp_search.tracking.api.tracker import MlflowTracker
from sp_search.tracking.spool.spool import Spool
from sp_search.tracking.store.run_store import RejectedError
from sp_search.tracking.upload.sync import SyncCounts, sync
from tests.tracking.fakes import INFO, FakeStore, tell_a_study

URI = "http://127.0.0.1:5000"


def away(uri):
    raise ConnectionError(uri)


def tell_offline(tmp_path):
    tracker = MlflowTracker(tmp_path / "runs" / "demo", URI, connect=away)
    tell_a_study(tracker, tmp_path)
    return tracker.close(0)


def test_what_was_told_offline_is_sent_once(tmp_path):
    left, store = tell_offline(tmp_path), FakeStore()
    assert left > 0
    assert sync(tmp_path / "runs", URI, connect=lambda uri: store) == SyncCounts(1, left, 0, 0, 0, ())
    content = store.content()
    assert sync(tmp_path / "runs", URI, connect=lambda uri: store) == SyncCounts(1, 0, 0, 0, 0, ())
    assert store.content() == content
    assert store.by_trial()[None].status == "FINISHED"


def test_a_search_that_was_killed_is_shown_killed(tmp_path):
    tracker = MlflowTracker(tmp_path / "runs" / "demo", URI, connect=away)
    tracker.study_opened(INFO)
    tracker.trial_started(0, {"lr": 0.5})
    tracker._uploader.close(0)
    tracker._writer.close()
    store = FakeStore()
    sync(tmp_path / "runs", URI, connect=lambda uri: store)
    assert {number: run.status for number, run in store.by_trial().items()} == {None: "KILLED", 0: "KILLED"}


def test_a_search_that_lives_sends_its_own(tmp_path):
    tracker = MlflowTracker(tmp_path / "runs" / "demo", URI, connect=away)
    tracker.study_opened(INFO)
    store = FakeStore()
    assert sync(tmp_path / "runs", URI, connect=lambda uri: store) == SyncCounts(1, 0, 0, 0, 0, ("demo",))
    tracker.close(0)


def test_a_server_that_is_away_leaves_all_as_it_was(tmp_path):
    left = tell_offline(tmp_path)
    assert sync(tmp_path / "runs", URI, stall_s=0.2, connect=away) == SyncCounts(1, 0, left, 0, 0, ())


def test_a_server_that_answers_and_takes_nothing_is_sent_nothing(tmp_path):
    def refuse(moment):
        if "find_runs" not in moment:
            raise ConnectionError(moment)

    left, store = tell_offline(tmp_path), FakeStore(refuse)
    counts = sync(tmp_path / "runs", URI, stall_s=0.5, connect=lambda uri: store)
    assert (counts.sent, counts.left) == (0, left)
    assert store.requests.count("find_runs") < 9, "that it finds its runs is no reason to go on for ever"


def test_what_was_refused_for_good_was_not_sent(tmp_path):
    def refuse(moment):
        if moment == "before upload":
            raise RejectedError("no room for files")

    left, store = tell_offline(tmp_path), FakeStore(refuse)
    counts = sync(tmp_path / "runs", URI, connect=lambda uri: store)
    assert counts.rejected > 0
    assert (counts.sent, counts.left) == (left - counts.rejected, 0)


def test_a_server_that_is_away_is_waited_for_once_and_not_for_every_study(tmp_path):
    left = 0
    for name in ("one", "two", "three"):
        tracker = MlflowTracker(tmp_path / "runs" / name, URI, connect=away)
        tracker.study_opened(INFO | {"study": name})
        left += tracker.close(0)
    tried = []

    def connect(uri):
        tried.append(uri)
        raise ConnectionError(uri)

    began = time.monotonic()
    assert sync(tmp_path / "runs", URI, stall_s=1.0, connect=connect) == SyncCounts(3, 0, left, 0, 0, ())
    assert time.monotonic() - began < 2.5
    assert tried


def test_a_slow_server_is_given_all_the_time_it_needs(tmp_path):
    left = tell_offline(tmp_path)
    store = FakeStore(lambda moment: time.sleep(0.02))
    counts = sync(tmp_path / "runs", URI, stall_s=10, connect=lambda uri: store)
    assert (counts.sent, counts.left) == (left, 0)


def test_a_store_that_was_emptied_is_filled_again_on_demand(tmp_path):
    left, store, fresh = tell_offline(tmp_path), FakeStore(), FakeStore()
    sync(tmp_path / "runs", URI, connect=lambda uri: store)
    assert sync(tmp_path / "runs", URI, connect=lambda uri: fresh).sent == 0
    assert sync(tmp_path / "runs", URI, again=True, connect=lambda uri: fresh).sent == left
    assert fresh.content() == store.content()


def test_another_server_gets_all_of_it(tmp_path):
    left, store, other = tell_offline(tmp_path), FakeStore(), FakeStore()
    sync(tmp_path / "runs", URI, connect=lambda uri: store)
    assert sync(tmp_path / "runs", "http://other:5000", connect=lambda uri: other).sent == left
    assert other.content() == store.content()


def test_a_torn_line_is_counted_and_the_rest_arrives(tmp_path):
    tell_offline(tmp_path)
    spool = Spool(tmp_path / "runs" / "demo" / "spool")
    whole = spool.events.read_bytes()
    spool.events.write_bytes(whole[:-20])  # the summary is cut off: the search counts as killed
    store = FakeStore()
    counts = sync(tmp_path / "runs", URI, connect=lambda uri: store)
    assert (counts.left, counts.torn) == (0, 1)
    assert len(store.by_trial()[0].points) == 9
    assert store.by_trial()[None].status == "KILLED"


FOREIGN = {
    "empty": b"",
    "another's events": b'{"kind": "study_opened", "time_ms": 1, "number": null, "data": {"name": "x"}}\n',
    "a tag that no server takes": (
        b'{"kind":"study_opened","time_ms":1,"number":null,"data":{"experiment":"x","tags":{"sp_search.study":"caf\\udce9",'
        b'"sp_search.study_id":"1","sp_search.data_fingerprint":"d"}}}\n'
    ),
    "garbage": b"\xff\x00{]\n",
    "no experiment": (
        b'{"kind":"study_opened","time_ms":1,"number":null,"data":{"tags":{"sp_search.study":"x","sp_search.study_id":'
        b'"1","sp_search.data_fingerprint":"d"}}}\n'
    ),
}


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
def test_a_strangers_spool_is_named_and_passed_over_and_ours_is_sent(tmp_path, caplog, content):
    left, store = tell_offline(tmp_path), FakeStore()
    foreign = tmp_path / "runs" / "foreign" / "spool"
    foreign.mkdir(parents=True)
    (foreign / "events.jsonl").write_bytes(content)
    assert sync(tmp_path / "runs", URI, connect=lambda uri: store).sent == left
    assert f"{foreign}: expected " in caplog.text
    assert caplog.text.count("it is passed over") == 1
    assert (foreign / "events.jsonl").read_bytes() == content
