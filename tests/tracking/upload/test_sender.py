import pytest

from sp_search.tracking.spool.jsonl_log import read_chunk
from sp_search.tracking.spool.offsets import Offsets, StoreOffset
from sp_search.tracking.spool.spool import Spool, open_writer
from sp_search.tracking.store.run_store import RunMissingError
from sp_search.tracking.store.run_updates import RunUpdate, Start
from sp_search.tracking.store.schema import PARENT_TAG
from sp_search.tracking.upload.sender import Sender
from tests.tracking.fakes import INFO, FakeStore, report
from tests.tracking.sending import URI, LostError, all_of, send, spool_of


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
    answered = sender.answered
    with pytest.raises(RunMissingError):
        sender.step()
    all_of(sender)
    assert store.by_trial()[0].points == before
    assert sender.answered > answered + 10


def test_a_run_is_told_of_its_status_when_it_changes_and_of_nothing_when_nothing_did(tmp_path):
    spool, store = spool_of(tmp_path), FakeStore()
    sender = Sender(spool, StoreOffset(spool, URI), store)
    start = Start("trial 4", 0, {})
    for update in (
        RunUpdate(),
        RunUpdate(start, status="RUNNING"),
        RunUpdate(status="FINISHED", end_ms=7),
        RunUpdate(status="FINISHED", end_ms=9),
    ):
        sender._send(4, update)
    assert store.requests == ["create_run", "set_status"]
    assert [(run.status, run.end_ms) for run in store.runs.values()] == [("FINISHED", 7)]


def test_all_runs_of_a_study_arrive_below_their_parent_with_their_ends(tmp_path):
    spool, store = spool_of(tmp_path), FakeStore()
    sender = send(spool, store)
    ends = {event.number: event.time_ms for event in spool.all_events() if event.kind.endswith("_finished")}
    assert {number: (run.status, run.end_ms) for number, run in store.by_trial().items()} == {
        number: ("FINISHED", ends[number]) for number in (None, 0, 1, 2)
    }
    parents = {number: run.tags.get(PARENT_TAG) for number, run in store.by_trial().items()}
    assert parents == {None: None, 0: sender.run_id, 1: sender.run_id, 2: sender.run_id}
    assert store.runs[sender.run_id].name == "demo"


def test_a_cursor_beyond_a_spool_that_lost_its_end_starts_anew(tmp_path):
    spool, store = spool_of(tmp_path), FakeStore()
    send(spool, store)
    lines = spool.events.read_bytes().splitlines(keepends=True)
    spool.events.write_bytes(b"".join(lines[:-1]))
    before = list(store.by_trial()[0].points)
    assert StoreOffset(spool, URI).left() == len(lines) - 1 + 3  # two files and the winner
    send(spool, store)
    assert store.by_trial()[0].points == before


def test_only_trials_that_a_lost_spool_left_running_are_closed(tmp_path):
    spool, store = spool_of(tmp_path), FakeStore()
    tags = spool.opened().data["tags"]
    identity = {name: tags[name] for name in ("sp_search.study", "sp_search.study_id", "sp_search.data_fingerprint")}
    parent = store.create_run(Start("demo", 0, identity), None)
    for number in (1, 7, 8, 9):
        store.create_run(Start(f"trial {number}", 0, {**identity, "sp_search.trial": str(number)}), parent)
    store.by_trial()[9].status = "FINISHED"
    sender = Sender(spool, StoreOffset(spool, URI), store)
    sender._look_up(spool.opened())
    assert store.experiment == spool.opened().data["experiment"]
    assert {number: run.status for number, run in store.by_trial().items()} == {
        None: "RUNNING", 1: "RUNNING", 7: "KILLED", 8: "KILLED", 9: "FINISHED",
    }  # fmt: skip
    assert all(store.by_trial()[number].end_ms >= spool.opened().time_ms for number in (7, 8))
    ids = {run_id: int(run.tags.get("sp_search.trial", -1)) for run_id, run in store.runs.items()}
    closed = [run for run in sender._runs.values() if ids[run.run_id] in (7, 8)]
    assert [run.status for run in closed] == ["KILLED", "KILLED"]
    all_of(sender)
    assert store.by_trial()[1].status == "FINISHED"
    assert [store.by_trial()[number].status for number in (7, 8, 9)] == ["KILLED", "KILLED", "FINISHED"]


@pytest.mark.parametrize("step_bytes", [1, 1 << 20])
def test_what_is_sent_and_answered_is_counted_once_whatever_a_step_holds(tmp_path, monkeypatch, step_bytes):
    spool, store = spool_of(tmp_path), FakeStore()
    monkeypatch.setattr("sp_search.tracking.upload.sender._STEP_BYTES", step_bytes)
    events, files = (read_chunk(path, 0, 1 << 20).events for path in (spool.events, spool.artifacts))
    sender = Sender(spool, StoreOffset(spool, URI), store)
    steps = 1
    while sender.step():
        steps += 1
    assert steps == (len(events) if step_bytes == 1 else 1)
    assert (sender.sent, sender.rejected, sender.torn) == (len(events) + len(files), 0, 0)
    assert store.requests.count("find_runs") == 1
    datasets = store.requests.count("log_datasets")
    assert sender.answered == len(store.requests) - datasets  # a set of data is a part of its run's update
    send(spool, store, uri="http://again")  # the runs are there, and none is made
    assert store.requests.count("find_runs") == 2


def test_a_sender_that_begins_in_the_middle_knows_which_runs_are_running_there(tmp_path):
    spool = spool_of(tmp_path)
    middle = [event.kind for event in spool.all_events()].index("reported")
    lines = spool.events.read_bytes().splitlines(keepends=True)
    offset = StoreOffset(spool, URI)
    offset.move(Offsets(sum(map(len, lines[:middle]))))
    sender = Sender(spool, offset, FakeStore())
    assert sender._statuses == {None: "RUNNING", 0: "RUNNING"}
    assert sender.run_id is None  # of a store that nobody has asked yet


def test_a_file_that_was_sent_is_not_sent_again_when_the_next_one_fails(tmp_path):
    def tell(tracker, folder):
        tracker.study_opened(INFO)
        for name in ("a", "b", "c"):
            (folder / name).write_text(name)
            tracker.artifact(None, folder / name, "")

    def disturb(moment):
        if moment == "before upload" and store.requests.count("upload") == 2:
            raise LostError(moment)

    spool, store = spool_of(tmp_path, tell), FakeStore(disturb)
    with pytest.raises(LostError):
        send(spool, store)
    send(spool, store)
    assert store.requests.count("upload") == 4  # a, b that failed, b, c
    assert store.by_trial()[None].files == {"a": b"a", "b": b"b", "c": b"c"}


def test_a_spool_without_a_study_has_nothing_to_send(tmp_path):
    spool, store = Spool(tmp_path), FakeStore()
    assert Sender(spool, StoreOffset(spool, URI), store).step() is False
    assert store.requests == []


def test_the_winner_arrives_with_its_tally_and_what_became_of_it_is_said(tmp_path, caplog):
    spool, store = spool_of(tmp_path), FakeStore()
    send(spool, store)
    ((winner, files),) = store.models.values()
    assert set(files) == {"prompt.safetensors", "MLmodel", "test_tally.json"}
    assert winner.standing.tally.found.tolist() == [0.0, 1.0, 1.0]
    assert caplog.messages[-1] == "MLflow: sp-search-intent-tiny: published"
