from dataclasses import fields

from sp_search.tracking.spool.jsonl_log import Event
from sp_search.tracking.store.run_updates import MetricPoint, RunUpdate, Start, fold_events
from sp_search.tracking.store.schema import DatasetUse


def opened(time_ms):
    return Event("study_opened", time_ms, None, {"name": "demo", "tags": {"a": "b"}})


def started(time_ms, number):
    return Event("trial_started", time_ms, number, {"name": f"trial {number}", "params": {"lr": 0.5}, "tags": {}})


def reported(time_ms, number, step, value, running=None):
    study = {} if running is None else {"running_best_a": running}
    data = {"step": step, "metrics": {"a": value}, "tags": {}, "study_step": 10 * step, "study_metrics": study}
    return Event("reported", time_ms, number, data)


def finished(time_ms, number, state):
    data = {"step": 9, "metrics": {}, "tags": {"sp_search.state": state}, "study_step": 9, "study_metrics": {}}
    return Event("trial_finished", time_ms, number, data)


def test_many_events_of_a_run_become_one_update():
    statuses = {}
    events = [
        opened(1),
        started(2, 0),
        reported(3, 0, 32, 0.5, 0.5),
        reported(4, 0, 64, "nan"),
        finished(5, 0, "PRUNED"),
    ]
    updates, faults = fold_events(events, statuses)
    points = updates[0].metrics
    assert list(updates) == [None, 0]
    assert updates[None] == RunUpdate(
        Start("demo", 1, {"a": "b"}),
        metrics=[MetricPoint("running_best_a", 0.5, 3, 320)],
        tags={"mlflow.runName": "demo"},
        status="RUNNING",
        end_ms=1,
    )
    assert updates[0].params == {"lr": "0.5"}
    assert [(p.name, p.time_ms, p.step) for p in points] == [("a", 3, 32), ("a", 4, 64)]
    assert points[1].value != points[1].value
    assert (updates[0].status, updates[0].end_ms) == ("FINISHED", 5)
    assert statuses == {None: "RUNNING", 0: "FINISHED"}
    assert faults == []


def test_trials_left_running_are_killed_unless_they_go_on():
    statuses = {None: "RUNNING", 0: "RUNNING", 1: "RUNNING", 2: "FINISHED", 3: "KILLED"}
    updates, _ = fold_events([opened(7), started(8, 1), started(9, 3)], statuses)
    assert statuses == {None: "RUNNING", 0: "KILLED", 1: "RUNNING", 2: "FINISHED", 3: "RUNNING"}
    assert updates[0].tags == {
        "sp_search.state": "KILLED",
        "sp_search.reason": "left running by a search that was stopped",
    }
    for goes_on in (1, 3):
        assert updates[goes_on].tags == {"sp_search.state": "RUNNING", "sp_search.reason": "continued"}
        assert updates[goes_on].status == "RUNNING"
    assert 2 not in updates


def test_a_study_says_what_data_it_uses_and_a_trial_what_it_was_begun_with():
    used = {field.name: f"its {field.name}" for field in fields(DatasetUse)}
    opening = Event("study_opened", 1, None, {"name": "demo", "tags": {}, "datasets": [used]})
    updates, faults = fold_events([opening, started(2, 0)], {})
    assert faults == []
    assert updates[None].datasets == [DatasetUse(**used)]
    assert updates[0].start == Start("trial 0", 2, {})


def test_what_a_trial_is_told_twice_adds_up():
    again = Event("trial_started", 3, 0, {"name": "again", "params": {"depth": 2}, "tags": {}})
    tells = [reported(4, 0, 32, 0.5), reported(5, 0, 64, 0.75)]
    for event, name in zip(tells, "ab", strict=True):
        event.data["tags"] = {name: "1"}
    updates, _ = fold_events([started(2, 0), again, *tells], {})
    assert updates[0].start == Start("trial 0", 2, {})
    assert updates[0].params == {"lr": "0.5", "depth": "2"}
    assert updates[0].tags.items() >= {("a", "1"), ("b", "1")}


def test_a_trial_that_ended_in_a_state_of_another_version_is_closed():
    updates, _ = fold_events([started(1, 0), finished(2, 0, "ABSORBED")], {})
    assert (updates[0].status, updates[0].end_ms) == ("KILLED", 2)


def test_an_abandoned_search_kills_what_runs_and_itself():
    statuses = {}
    fold_events([opened(1), started(2, 0), started(3, 1), finished(4, 1, "FAIL")], statuses)
    updates, _ = fold_events([Event("abandoned", 5, None, {"reason": "SIGTERM"})], statuses)
    assert statuses == {None: "KILLED", 0: "KILLED", 1: "FAILED"}
    assert updates[0].tags["sp_search.reason"] == updates[None].tags["sp_search.reason"] == "SIGTERM"


def test_an_event_of_another_version_is_named_and_the_rest_goes_on():
    updates, faults = fold_events(
        [Event("celebrated", 1, 3, {}), Event("reported", 2, 4, {"step": 1}), started(3, 0)], {}
    )
    assert [fault.split(":")[0] for fault in faults] == ["celebrated of trial 3", "reported of trial 4"]
    assert updates[0].start is not None


def test_the_end_of_a_study_gives_trials_of_earlier_starts_their_names_too():
    data = {"metrics": {}, "step": 9, "tags": {}, "names": {"4": "#1 · trial 4"}}
    updates, _ = fold_events([Event("study_finished", 5, None, data)], {})
    assert updates[4] == RunUpdate(tags={"mlflow.runName": "#1 · trial 4"})
    assert updates[None] == RunUpdate(tags={"sp_search.state": "FINISHED"}, status="FINISHED", end_ms=5)


def test_the_end_of_a_study_adds_its_metrics_and_tags():
    data = {"metrics": {"best": 0.5}, "step": 9, "tags": {"k": "v"}}  # no names, as earlier versions wrote it
    updates, faults = fold_events([Event("study_finished", 5, None, data)], {})
    assert faults == []
    assert updates[None].metrics == [MetricPoint("best", 0.5, 5, 9)]
    assert updates[None].tags == {"k": "v", "sp_search.state": "FINISHED"}


def test_what_machines_are_at_becomes_points_of_the_study():
    data = {"metrics": {"system/cpu": 12.5}, "step": 3}
    updates, faults = fold_events([Event("sampled", 8, None, data), Event("sampled", 9, None, data)], {})
    assert updates == {None: RunUpdate(metrics=[MetricPoint("system/cpu", 12.5, at, 3) for at in (8, 9)])}
    assert faults == []


def test_another_name_of_the_study_goes_to_its_run_and_to_every_trial():
    statuses = {None: "FINISHED", 0: "FINISHED", 3: "KILLED"}
    updates, _ = fold_events([Event("renamed", 8, None, {"name": "new"})], statuses)
    assert updates == {
        None: RunUpdate(tags={"sp_search.study": "new", "mlflow.runName": "new"}),
        0: RunUpdate(tags={"sp_search.study": "new"}),
        3: RunUpdate(tags={"sp_search.study": "new"}),
    }


def test_a_table_is_a_tag_of_the_study():
    tables = [Event("tabled", at, None, {"tags": tags}) for at, tags in ((8, {"t": "1"}), (9, {"u": "2"}))]
    updates, _ = fold_events(tables, {})
    assert updates == {None: RunUpdate(tags={"t": "1", "u": "2"})}


def test_a_run_that_is_killed_keeps_its_other_tags():
    updates, _ = fold_events([opened(1), started(2, 0), Event("abandoned", 3, None, {"reason": "SIGTERM"})], {})
    assert updates[None].tags == {
        "mlflow.runName": "demo", "sp_search.state": "KILLED", "sp_search.reason": "SIGTERM",
    }  # fmt: skip
