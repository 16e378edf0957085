import json

import pytest

from sp_search.tracking.api.tracker import MlflowTracker
from sp_search.tracking.spool.offsets import StoreOffset
from sp_search.tracking.spool.spool import Spool, open_writer
from sp_search.tracking.store.run_store import RunMissingError
from sp_search.tracking.store.run_updates import Start
from sp_search.tracking.upload.sender import Sender
from tests.tiny import tiny_corpus
from tests.tracking.fakes import INFO, FakeStore, report, tell_a_won_study

URI = "http://user:secret@127.0.0.1:5000"


class LostError(Exception):
    pass


class Unreachable(FakeStore):
    def __init__(self, uri):
        raise LostError


def spool_of(tmp_path, tell=tell_a_won_study):
    """The spool of a study whose MLflow was away from beginning to end."""
    tracker = MlflowTracker(tmp_path / "demo", URI, connect=Unreachable, interval_s=60, corpus=tiny_corpus())
    tell(tracker, tmp_path)
    tracker.close(0)
    return Spool(tmp_path / "demo" / "spool")


def send(spool, store, uri=URI):
    """All of it, from a process that knows only the cursor."""
    return all_of(Sender(spool, StoreOffset(spool, uri), store))


def all_of(sender):
    while sender.step():
        pass
    return sender


def fails_once(at):
    """Disturb the at-th moment, counting before and after every request."""
    moments = iter(range(10_000))

    def disturb(moment):
        if next(moments) == at:
            raise LostError(moment)

    return disturb


@pytest.mark.parametrize(
    ("step_bytes", "restarts"),  # one event a step, some, all
    [(1, True), (5000, False), (5000, True), (1 << 20, False), (1 << 20, True)],
)
def test_a_failure_at_any_moment_of_any_request_leaves_no_trace(tmp_path, monkeypatch, restarts, step_bytes):
    undisturbed = FakeStore()
    spool = spool_of(tmp_path)
    send(spool, undisturbed, uri="http://undisturbed")
    moments = 2 * len(undisturbed.requests)
    assert moments >= 30
    monkeypatch.setattr("sp_search.tracking.upload.sender._STEP_BYTES", step_bytes)
    for at in range(moments):
        store, uri = FakeStore(fails_once(at)), f"http://host{at}"
        sender = Sender(spool, StoreOffset(spool, uri), store)
        with pytest.raises(LostError):
            all_of(sender)
        if restarts:
            sender = Sender(spool, StoreOffset(spool, uri), store)
        all_of(sender)
        assert store.content() == undisturbed.content()
        assert StoreOffset(spool, uri).left() == 0


def test_sending_all_of_it_twice_changes_nothing(tmp_path):
    spool, store = spool_of(tmp_path), FakeStore()
    send(spool, store)
    once = store.content()
    for path in spool.folder.glob("cursor-*.json"):
        path.unlink()
    send(spool, store)
    assert store.content() == once


def test_a_backlog_costs_at_most_three_requests_a_trial(tmp_path):
    def tell(tracker, _):
        tracker.study_opened(INFO)
        for number in range(50):
            tracker.trial_started(number, {"lr": 0.5})
            for step in range(10):
                tracker.reported(number, report(32 * (step + 1), step / 10))
            tracker.trial_finished(number, "COMPLETE")

    store = FakeStore()
    send(spool_of(tmp_path, tell), store)
    assert {verb: store.requests.count(verb) for verb in ("find_runs", "create_run", "log", "set_status")} == {
        "find_runs": 1, "create_run": 51, "log": 51, "set_status": 51,
    }  # fmt: skip


def test_a_store_that_was_emptied_gets_the_whole_study_again(tmp_path):
    spool, store = spool_of(tmp_path), FakeStore()
    send(spool, store)
    writer = open_writer(spool)
    writer.append("study_opened", None, spool.opened().data)
    writer.close()
    fresh = FakeStore()
    send(spool, fresh)
    assert fresh.by_trial()[0].points == store.by_trial()[0].points
    assert fresh.by_trial()[0].files == {"prompt/prompt.safetensors": b"weights"}


def test_a_store_emptied_under_a_live_search_gets_the_whole_study_again(tmp_path):
    spool, store = spool_of(tmp_path), FakeStore()
    sender = send(spool, store)
    before = store.by_trial()[0].points
    store.runs.clear()
    writer = open_writer(spool)
    writer.append("abandoned", None, {"reason": "again"})
    writer.append("study_opened", None, spool.opened().data)
    writer.close()
    with pytest.raises(RunMissingError):
        sender.step()
    all_of(sender)
    assert store.by_trial()[0].points == before


def test_what_the_store_refuses_is_kept_and_stops_nothing_else(tmp_path, caplog):
    spool, store = spool_of(tmp_path), FakeStore()
    sender = Sender(spool, StoreOffset(spool, URI), store)
    identity = {f"sp_search.{key}": spool.opened().data["tags"][f"sp_search.{key}"] for key in ("study", "study_id")}
    identity["sp_search.data_fingerprint"] = INFO["data_fingerprint"]
    other = store.create_run(Start("trial 0", 0, {**identity, "sp_search.trial": "0"}), None)
    store.create_run(Start("demo", 0, identity), None)
    store.runs[other].params["depth"] = "another"
    all_of(sender)
    refused = [json.loads(line) for line in spool.rejected.read_text().splitlines()]
    assert [(r["number"], r["content"]) for r in refused] == [
        (0, {"lr": "0.01", "depth": "6", "score_separator": "true"})
    ]
    assert len(store.runs[other].points) == 3 * 2 + 2 + 1
    assert sender.rejected == 1
    assert caplog.text.count("Changing param values is not allowed") == 1
    assert f"; kept in {spool.rejected}" in caplog.text
    assert "MLflow: trial 0: " in caplog.text


def test_a_trial_whose_start_was_torn_is_kept_aside_with_its_files(tmp_path):
    spool = spool_of(tmp_path)
    lines = spool.events.read_bytes().splitlines(keepends=True)
    at = next(i for i, line in enumerate(lines) if b'"trial_started"' in line and b'"number":0' in line)
    lines[at] = lines[at][:40] + b"\n"
    spool.events.write_bytes(b"".join(lines))
    store = FakeStore()
    sender = send(spool, store)
    assert set(store.by_trial()) == {None, 1, 2}
    assert sender.torn == 1
    reasons = [json.loads(line)["reason"] for line in spool.rejected.read_text().splitlines()]
    assert reasons == [
        "its run is not in the store: deleted there, or its start was lost here",
        "prompt.safetensors: its run is not in the store",
    ]


def test_a_cursor_beyond_a_spool_that_lost_its_end_starts_anew(tmp_path):
    spool, store = spool_of(tmp_path), FakeStore()
    send(spool, store)
    lines = spool.events.read_bytes().splitlines(keepends=True)
    spool.events.write_bytes(b"".join(lines[:-1]))
    before = list(store.by_trial()[0].points)
    assert StoreOffset(spool, URI).left() == len(lines) - 1 + 3  # two files and the winner
    send(spool, store)
    assert store.by_trial()[0].points == before


def test_a_winner_whose_copy_is_gone_is_refused_with_its_reason_and_all_else_arrives(tmp_path):
    spool, store = spool_of(tmp_path), FakeStore()
    (gone,) = spool.files.glob("*/prompt.safetensors")
    (other,) = spool.files.glob("*/test_tally.json")
    other.unlink()
    sender = send(spool, store)
    assert (sender.rejected, store.models) == (1, {})
    assert "its copy test_tally.json in the spool is gone" in spool.rejected.read_text()
    assert store.by_trial()[0].files == {"prompt/prompt.safetensors": gone.read_bytes()}


def test_the_first_thing_that_is_refused_is_said_and_all_are_counted(tmp_path, caplog):
    spool = spool_of(tmp_path)
    sender = Sender(spool, StoreOffset(spool, URI), FakeStore())
    caplog.clear()
    for number in (None, 3):
        sender._reject(number, "https://me:secret@host said no", {"a": "b"})
    assert caplog.messages == [f"MLflow: the study: https://***@host said no; kept in {spool.rejected}"]
    assert sender.rejected == 2
    kept = [json.loads(line) for line in spool.rejected.read_text().splitlines()]
    assert kept == [
        {"number": number, "reason": "https://***@host said no", "content": {"a": "b"}} for number in (None, 3)
    ]
