import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from sp_search.errors import ConfigError, StudyError
from sp_search.tracking.api.catch_up import KnownTrial
from sp_search.tracking.api.tracker import MlflowTracker
from sp_search.tracking.spool.jsonl_log import read_chunk
from sp_search.tracking.spool.spool import Spool
from sp_search.tracking.store.note import finished_note
from tests.tracking.fakes import INFO, SUMMARY, FakeStore, report, tell_a_study

URI = "http://127.0.0.1:5000"


def tracker_of(tmp_path, store, **settings):
    return MlflowTracker(tmp_path / "demo", URI, connect=lambda uri: store, interval_s=0.01, **settings)


def points_of(run):
    return {(point.name, point.step): point.value for point in run.points}


def test_a_study_ends_up_as_exactly_these_runs(tmp_path):
    store = FakeStore()
    tracker = tracker_of(tmp_path, store)
    tell_a_study(tracker, tmp_path)
    tracker.close(timeout_s=10)
    runs = store.by_trial()
    assert {number: run.name for number, run in runs.items()} == {
        None: "demo", 0: "trial 0", 1: "trial 1", 2: "confirm of trial 0",
    }  # fmt: skip
    assert {number: run.tags["mlflow.runName"] for number, run in runs.items()} == {
        None: "demo",
        0: "#1 winner · trial 0 · complete at 960",
        1: "trial 1 · pruned at 320",
        2: "confirm of trial 0 · complete at 960 · seed 101",
    }
    assert runs[None].tags["mlflow.note.content"] == finished_note(SUMMARY)
    assert {number: run.params for number, run in runs.items()} == {
        None: {},
        0: {"lr": "0.01", "depth": "6", "score_separator": "true"},
        1: {"lr": "0.02", "depth": "6", "score_separator": "true"},
        2: {"lr": "0.01", "depth": "6"},
    }
    assert points_of(runs[0]) == {
        ("valid_accuracy", 320): 0.25, ("valid_loss", 320): 0.75, ("best_valid_accuracy", 320): 0.25,
        ("valid_accuracy", 640): 0.75, ("valid_loss", 640): 0.25, ("best_valid_accuracy", 640): 0.75,
        ("valid_accuracy", 960): 0.5, ("valid_loss", 960): 0.5, ("stored_bytes", 960): 4096.0,
    }  # fmt: skip
    assert points_of(runs[None]) == {
        ("running_best_valid_accuracy", 320): 0.25, ("running_best_valid_accuracy", 640): 0.75,
        ("trials_pruned", 1280): 1.0, ("trials_complete", 1280): 1.0,
        ("trials_complete", 2240): 1.0, ("trials_pruned", 2240): 1.0, ("trials_failed", 2240): 0.0,
        ("stored_bytes", 2240): 4096.0,
        ("best_valid_accuracy", 2240): 0.75, ("best_test_accuracy", 2240): 0.5,
        ("rival_valid_accuracy", 2240): 0.5, ("rival_test_accuracy", 2240): 0.25,
        ("trained_parameters", 2240): 1024.0, ("wall_s", 2240): 12.5, ("trial_s", 2240): 20.0,
    }  # fmt: skip
    assert {number: set(run.files) for number, run in runs.items()} == {
        None: {"summary.json"}, 0: {"prompt/prompt.safetensors"}, 1: set(), 2: set(),
    }  # fmt: skip
    assert (runs[1].tags["sp_search.state"], runs[1].tags["sp_search.reason"]) == ("PRUNED", "asha at 320")
    assert (runs[2].tags["sp_search.role"], runs[2].tags["sp_search.of_trial"]) == ("confirm", "0")
    assert {run.tags["mlflow.parentRunId"] for number, run in runs.items() if number is not None} == {"run0"}


def test_a_continued_study_goes_on_in_its_own_runs_and_closes_what_was_left(tmp_path):
    store = FakeStore()
    first = tracker_of(tmp_path, store)
    first.study_opened(INFO)
    for number in (0, 1):
        first.trial_started(number, {"lr": 0.5})
        first.reported(number, report(320, 0.5))
    first._uploader.close(10)  # killed: no word of an end
    first._writer.close()
    second = tracker_of(tmp_path, store)
    second.study_opened(INFO)
    second.trial_started(1, {"lr": 0.5})
    second.reported(1, report(320, 0.5))
    second.reported(1, report(640, 0.25))
    second.trial_finished(1, "COMPLETE")
    second.study_finished({})
    second.close(10)
    runs = store.by_trial()
    assert {number: run.status for number, run in runs.items()} == {None: "FINISHED", 0: "KILLED", 1: "FINISHED"}
    assert len(store.runs) == 3
    assert runs[0].tags["sp_search.reason"] == "left running by a search that was stopped"
    assert (runs[1].tags["sp_search.state"], runs[1].tags["sp_search.reason"]) == ("COMPLETE", "continued")
    assert points_of(runs[1]) == {
        ("valid_accuracy", 320): 0.5, ("valid_loss", 320): 0.5, ("best_valid_accuracy", 320): 0.5,
        ("valid_accuracy", 640): 0.25, ("valid_loss", 640): 0.75,
    }  # fmt: skip


def test_a_finished_study_that_goes_on_ends_with_the_names_and_the_setting_of_its_last_winner(tmp_path):
    store = FakeStore()
    winners = [(0, 0.5, {"lr": 0.5, "depth": 3}, "PRUNED"), (1, 0.75, {"lr": 0.25}, "COMPLETE")]
    for start, (new, value, setting, state) in enumerate(winners):
        tracker = tracker_of(tmp_path, store)
        tracker.study_opened({**INFO, "trials": start + 1})
        tracker.trial_started(new, setting)
        tracker.reported(new, report(320, value))
        tracker.trial_finished(new, state)
        best = {**SUMMARY["best"], "trial": new, "params": setting}
        tracker.study_finished({**SUMMARY, "best": best, "trials": {"complete": start + 1}})
        tracker.close(10)
        first = store.by_trial()[0].tags["mlflow.runName"]
        assert first == f"{'winner · ' * (start == 0)}trial 0 · pruned at 320"
    runs = store.by_trial()
    assert {number: run.tags["mlflow.runName"] for number, run in runs.items()} == {
        None: "demo", 0: "trial 0 · pruned at 320", 1: "#1 winner · trial 1 · complete at 320",
    }  # fmt: skip
    tags = runs[None].tags
    setting = {name: tags[f"sp_search.{name}"] for name in ("best_trial", "best.lr", "best.depth")}
    assert setting == {"best_trial": "1", "best.lr": "0.25", "best.depth": ""}
    assert tags["mlflow.note.content"] == finished_note({**SUMMARY, "trials": {"complete": 2}})
    assert runs[None].status == "FINISHED"


def test_runs_of_a_search_whose_spool_is_gone_are_closed(tmp_path):
    store = FakeStore()
    first = tracker_of(tmp_path / "one", store)
    first.study_opened({**INFO, "study_id": "shared"})
    for number in (0, 1):
        first.trial_started(number, {"lr": 0.5})
    first._uploader.close(10)
    second = tracker_of(tmp_path / "two", store)
    second.study_opened({**INFO, "study_id": "shared"})
    second.trial_started(1, {"lr": 0.5})
    second._uploader.close(10)
    assert {number: run.status for number, run in store.by_trial().items()} == {
        None: "RUNNING", 0: "KILLED", 1: "RUNNING",
    }  # fmt: skip


def test_two_studies_of_one_name_on_one_server_do_not_mix(tmp_path):
    store = FakeStore()
    for person in ("ada", "ben"):
        tracker = tracker_of(tmp_path / person, store)
        tracker.study_opened(INFO)
        tracker.trial_started(0, {"person": person})
        tracker.close(10)
    assert [run.params for run in store.runs.values()] == [{}, {"person": "ada"}, {}, {"person": "ben"}]


def test_a_study_of_this_name_with_other_data_is_refused(tmp_path):
    first = tracker_of(tmp_path, FakeStore())
    first.study_opened(INFO)
    first.close(1)
    second = tracker_of(tmp_path, FakeStore())
    with pytest.raises(StudyError, match=f"data_fingerprint: expected {'d' * 64}, got eee; choose another STUDY"):
        second.study_opened({**INFO, "data_fingerprint": "eee"})
    assert second.close(1) == 0


def test_a_folder_as_store_is_refused_before_the_search_starts(tmp_path):
    with pytest.raises(ConfigError, match=r"tracking uri: expected sqlite:///FILE.*got './mlruns'"):
        MlflowTracker(tmp_path / "demo", "./mlruns")


def test_a_search_that_closes_without_a_summary_leaves_nothing_running(tmp_path):
    store = FakeStore()
    tracker = tracker_of(tmp_path, store)
    tracker.study_opened(INFO)
    tracker.trial_started(0, {"lr": 0.5})
    tracker.abandon("SIGTERM")
    assert tracker.close(10) == 0
    assert tracker.close(10) == 0
    assert {number: run.status for number, run in store.by_trial().items()} == {None: "KILLED", 0: "KILLED"}
    assert store.by_trial()[0].tags["sp_search.reason"] == "SIGTERM"


def test_a_diverged_trial_keeps_its_nan_and_its_reason(tmp_path):
    store = FakeStore()
    tracker = tracker_of(tmp_path, store)
    tracker.study_opened(INFO)
    tracker.trial_started(0, {"lr": np.float64(0.5), "depth": np.int64(3)})
    tracker.reported(0, report(320, float("nan"), diverged="loss is nan after 320 utterances"))
    tracker.trial_finished(0, "PRUNED", "diverged")
    tracker.close(10)
    run = store.by_trial()[0]
    assert run.params == {"lr": "0.5", "depth": "3"}
    assert {point.name for point in run.points} == {"valid_accuracy", "valid_loss"}
    assert all(np.isnan(point.value) for point in run.points)
    assert run.tags["sp_search.diverged"] == "loss is nan after 320 utterances"


def test_telling_takes_microseconds_while_the_server_hangs(tmp_path):
    store = FakeStore(lambda moment: time.sleep(0.5))
    tracker = tracker_of(tmp_path, store)
    tracker.study_opened(INFO)
    seconds = []
    for number in range(100):
        start = time.perf_counter()
        tracker.trial_started(number, {"lr": 0.5, "depth": 3})
        for step in range(10):
            tracker.reported(number, report(32 * (step + 1), 0.1 * step))
        tracker.trial_finished(number, "COMPLETE")
        seconds.append((time.perf_counter() - start) / 12)
    tracker.close(0)
    assert np.median(seconds) < 1e-3


def test_a_signal_in_the_middle_of_telling_can_abandon_the_search(tmp_path):
    tracker = tracker_of(tmp_path, FakeStore())
    tracker.study_opened(INFO)
    tracker.trial_started(0, {"lr": 0.5})
    came = []

    def on_alarm(number, frame):
        came.append(number)
        tracker.abandon("SIGALRM")

    before = signal.signal(signal.SIGALRM, on_alarm)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    step = 0
    while not came:
        step += 1
        tracker.reported(0, report(step, 0.5))
    signal.signal(signal.SIGALRM, before)
    tracker.close(0)
    spool = Spool(tmp_path / "demo" / "spool")
    chunk = read_chunk(spool.events, 0, max_bytes=1 << 26)
    assert chunk.torn == ()
    assert [event.kind for event in chunk.events].count("abandoned") == 1
    assert [event.kind for event in chunk.events].count("reported") == step


def test_following_a_search_imports_no_heavy_package():
    code = """
import sys
import sp_search.tracking.api.tracker
print({"mlflow", "ray", "optuna", "torch", "hydra", "fairseq"} & set(sys.modules))
"""
    repository = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=repository)
    assert done.stdout.strip() == "set()"


def test_what_is_measured_between_reports_goes_up_once_also_where_a_spool_was_lost(tmp_path):
    wanted = {
        ("valid_accuracy", 320): 0.25, ("valid_loss", 320): 0.75, ("best_valid_accuracy", 320): 0.25,
        ("valid_accuracy", 480): 0.75, ("valid_loss", 480): 0.25,
        ("valid_accuracy", 640): 0.5, ("valid_loss", 640): 0.5, ("best_valid_accuracy", 640): 0.5,
    }  # fmt: skip
    store = FakeStore()
    tracker = tracker_of(tmp_path, store)
    tracker.study_opened(INFO)
    tracker.trial_started(0, {"lr": 0.5})
    for tell, seen, value in (("reported", 320, 0.25), ("measured", 480, 0.75), ("measured", 480, 0.75)):
        getattr(tracker, tell)(0, report(seen, value))
    tracker.reported(0, report(640, 0.5))
    tracker.close(10)
    assert points_of(store.by_trial()[0]) == wanted
    known = KnownTrial(
        0, {"lr": 0.5}, 1,
        reports={seen: dict(report(seen, value).metrics) for seen, value in ((320, 0.25), (640, 0.5))},
        state="", measured={480: dict(report(480, 0.75).metrics)},
    )  # fmt: skip
    fresh = FakeStore()
    again = tracker_of(tmp_path / "elsewhere", fresh, known=[known])
    again.study_opened(INFO)
    again.close(10)
    assert points_of(fresh.by_trial()[0]) == wanted
