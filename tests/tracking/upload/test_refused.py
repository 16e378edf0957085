"""What a store refuses, and what of a spool can't be sent: kept aside with its reason; all else arrives."""

import json

from sp_search.tracking.spool.jsonl_log import Event, read_chunk
from sp_search.tracking.spool.offsets import StoreOffset
from sp_search.tracking.spool.spool import open_writer
from sp_search.tracking.store.run_store import RejectedError, RunRef
from sp_search.tracking.store.run_updates import MetricPoint, RunUpdate, Start
from sp_search.tracking.store.schema import PARENT_TAG
from sp_search.tracking.upload.sender import Sender
from tests.tracking.fakes import INFO, FakeStore
from tests.tracking.sending import URI, all_of, send, spool_of


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
    send(spool, fresh := FakeStore(), uri="http://fresh")
    ours = {name: tag for name, tag in fresh.by_trial()[0].tags.items() if name != PARENT_TAG}
    assert store.runs[other].tags == ours
    assert sender.rejected == 1
    assert caplog.text.count("Changing param values is not allowed") == 1
    assert f"; kept in {spool.rejected}" in caplog.text
    assert "MLflow: trial 0: " in caplog.text


def test_a_trial_whose_start_was_torn_is_kept_aside_with_its_files(tmp_path, caplog):
    spool = spool_of(tmp_path)
    lines = spool.events.read_bytes().splitlines(keepends=True)
    at = next(i for i, line in enumerate(lines) if b'"trial_started"' in line and b'"number":0' in line)
    lines[at] = lines[at][:40] + b"\n"
    spool.events.write_bytes(b"".join(lines))
    store = FakeStore()
    sender = send(spool, store)
    assert set(store.by_trial()) == {None, 1, 2}
    assert sender.torn == 1
    assert f"{spool.events} byte {sum(map(len, lines[:at]))}: expected an event, got a line cut off" in caplog.text
    refused = [json.loads(line) for line in spool.rejected.read_text().splitlines()]
    assert [(line["number"], line["reason"]) for line in refused] == [
        (0, "its run is not in the store: deleted there, or its start was lost here"),
        (0, "prompt.safetensors: its run is not in the store"),
    ]


def test_files_whose_lines_were_torn_are_told_with_their_places(tmp_path, caplog):
    spool, store = spool_of(tmp_path), FakeStore()
    lines = spool.artifacts.read_bytes().splitlines(keepends=True)
    spool.artifacts.write_bytes(lines[0][:20] + b"\n" + lines[1][:30] + b"\n" + b"".join(lines[2:]))
    caplog.clear()
    sender = send(spool, store)
    assert (sender.torn, sender.rejected) == (2, 0)
    assert [message for message in caplog.messages if "expected" in message] == [
        f"{spool.artifacts} byte {at}: expected an event, got a line cut off by a crash; left out" for at in (0, 21)
    ]
    assert len(store.models) == 1


def test_an_event_of_another_version_is_kept_aside_and_the_rest_arrives(tmp_path):
    spool, store = spool_of(tmp_path), FakeStore()
    writer = open_writer(spool)
    writer.append("celebrated", 1, {})
    writer.close()
    send(spool, store)
    (line,) = map(json.loads, spool.rejected.read_text().splitlines())
    assert line == {"number": None, "reason": "celebrated of trial 1: KeyError('celebrated')", "content": {}}
    assert set(store.by_trial()) == {None, 0, 1, 2}


def test_what_a_store_refuses_twice_is_kept_aside_whole(tmp_path):
    class Refuses(FakeStore):
        def log(self, run_id, params, metrics, tags):
            raise RejectedError("no more room" if params else "no")

    spool = spool_of(tmp_path)
    sender = Sender(spool, StoreOffset(spool, URI), store := Refuses())
    sender._runs[4] = RunRef("run4", "RUNNING")
    sender._send(4, RunUpdate(params={"lr": "1"}, metrics=[MetricPoint("a", 0.5, 1, 2)], tags={"k": "v"}))
    kept = [json.loads(line) for line in spool.rejected.read_text().splitlines()]
    assert kept == [
        {"number": 4, "reason": "no more room", "content": {"lr": "1"}},
        {"number": 4, "reason": "no", "content": {"a": 0.5, "k": "v"}},
    ]
    assert (sender.answered, store.runs) == (1, {})


def test_a_winner_whose_copy_is_gone_is_refused_with_its_reason_and_all_else_arrives(tmp_path):
    spool, store = spool_of(tmp_path), FakeStore()
    (gone,) = spool.files.glob("*/prompt.safetensors")
    (other,) = spool.files.glob("*/test_tally.json")
    other.unlink()
    sender = send(spool, store)
    assert (sender.rejected, store.models) == (1, {})
    assert "its copy test_tally.json in the spool is gone" in spool.rejected.read_text()
    assert store.by_trial()[0].files == {"prompt/prompt.safetensors": gone.read_bytes()}


def test_a_winner_without_a_tally_is_published_without_one(tmp_path):
    spool, store = spool_of(tmp_path), FakeStore()
    sender = Sender(spool, StoreOffset(spool, URI), store)
    (model,) = (event for event in read_chunk(spool.artifacts, 0, 1 << 20).events if event.kind == "model")
    model.data["files"] = [file for file in model.data["files"] if "tally" not in file]
    (tmp_path / "staged").mkdir()
    assert sender._staged(model, tmp_path / "staged").standing.tally is None


def test_each_file_that_cannot_be_sent_is_kept_aside_with_its_trial_and_its_reason(tmp_path):
    spool = spool_of(tmp_path)
    (gone,) = spool.files.glob("*/prompt.safetensors")
    gone.unlink()
    sender = send(spool, FakeStore())
    event = Event("model", 0, 5, {"files": []})
    sender._publish(event, None)
    sender._publish(event, next(iter(sender._runs.values())))
    kept = [json.loads(line) for line in spool.rejected.read_text().splitlines()]
    model = "the winner as a model: "
    assert [(line["number"], line["reason"]) for line in kept] == [
        (0, "prompt.safetensors: its copy in the spool is gone"),
        (None, f"{model}its copy prompt.safetensors in the spool is gone"),
        (5, f"{model}its run is not in the store"),
        (5, f"{model}expected a model of this version, got one without 'digest'"),
    ]


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
