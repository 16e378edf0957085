"""Against real MLflow stores: a SQLite file, a server, a server that dies, a search that dies."""

import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from sp_search.tracking.api.tracker import MlflowTracker
from sp_search.tracking.base.provenance import git_state, host, versions
from sp_search.tracking.spool.spool import Spool
from sp_search.tracking.store.note import finished_note
from sp_search.tracking.store.schema import datasets_of
from sp_search.tracking.upload.sync import sync
from tests.tiny import tiny_corpus
from tests.tracking.fakes import INFO, SUMMARY, FakeStore, report, tell_a_study
from tests.tracking.servers import free_port
from tests.tracking.stores import FILES, ended_study, files_of, runs_of, versions_of

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[3]


class Found:
    """The runs of the only study of an experiment, read through MLflow's own client."""

    def __init__(self, uri: str, experiment: str = "sp_search/intent") -> None:
        self.client = MlflowClient(uri)
        found = self.client.get_experiment_by_name(experiment)
        runs = list(self.client.search_runs([found.experiment_id], max_results=1000))
        trials = [run.data.tags.get("sp_search.trial") for run in runs]
        assert len(set(trials)) == len(trials)
        self.runs = {None if t is None else int(t): run for t, run in zip(trials, runs, strict=True)}

    def points(self, number):
        run = self.runs[number]
        history = [
            (point.key, point.step, point.value)
            for name in run.data.metrics
            for point in self.client.get_metric_history(run.info.run_id, name)
        ]
        return sorted(history)

    def statuses(self):
        return {number: run.info.status for number, run in self.runs.items()}


def points_told(tmp_path):
    """The points of `tell_a_study` by trial, as a store in memory has them."""
    store = FakeStore()
    folder = tmp_path / "told"
    folder.mkdir()
    tracker = MlflowTracker(folder / "demo", "http://nowhere", connect=lambda uri: store, interval_s=0.01)
    tell_a_study(tracker, folder)
    tracker.close(10)
    return {n: sorted((p.name, p.step, p.value) for p in run.points) for n, run in store.by_trial().items()}


def check_the_study(uri, tmp_path, experiment="sp_search/intent"):
    """The study that `tell_a_study` tells is in the experiment: all of it, and nothing else."""
    found = Found(uri, experiment)
    assert found.statuses() == dict.fromkeys((None, 0, 1, 2), "FINISHED")
    assert {number: run.data.params for number, run in found.runs.items()} == {
        None: {},
        0: {"lr": "0.01", "depth": "6", "score_separator": "true"},
        1: {"lr": "0.02", "depth": "6", "score_separator": "true"},
        2: {"lr": "0.01", "depth": "6"},
    }
    assert {number: found.points(number) for number in found.runs} == points_told(tmp_path)
    return found


def test_a_sqlite_file_holds_the_study_and_nothing_else(sqlite, tmp_path):
    tracker = MlflowTracker(tmp_path / "demo", sqlite, interval_s=0.05, corpus=tiny_corpus())
    tell_a_study(tracker, tmp_path)
    assert tracker.close(30) == 0
    sync(tmp_path, sqlite, again=True)
    found = check_the_study(sqlite, tmp_path)
    parent, trial = found.runs[None], found.runs[0]
    assert tracker.run_id == parent.info.run_id
    state = git_state()
    identity = {
        "sp_search.study": "demo",
        "sp_search.study_id": parent.data.tags["sp_search.study_id"],
        "sp_search.data_fingerprint": "d" * 64,
        "sp_search.task": "intent",
        "sp_search.data": "tiny",
        "sp_search.git_sha": state.sha,
        "sp_search.git_dirty": state.dirty,
        "mlflow.source.name": "sp-search",
        "mlflow.source.git.commit": state.sha,
        "mlflow.user": parent.data.tags["mlflow.user"],
    }
    assert parent.data.tags == identity | {
        "mlflow.runName": "demo",
        "mlflow.note.content": finished_note(SUMMARY),
        "sp_search.role": "study",
        "sp_search.state": "FINISHED",
        "sp_search.seed": "0",
        "sp_search.host": host(),
        "sp_search.best.lr": "0.01",
        "sp_search.best.depth": "6",
        "sp_search.best_trial": "0",
        "sp_search.rival": "n-grams",
        **{f"sp_search.version.{name}": version for name, version in versions().items()},
    }
    assert trial.data.tags == identity | {
        "mlflow.runName": "#1 winner · trial 0 · complete at 960",
        "mlflow.parentRunId": parent.info.run_id,
        "sp_search.trial": "0",
        "sp_search.role": "search",
        "sp_search.seed": "7",
        "sp_search.state": "COMPLETE",
    }
    used = [(one.dataset.name, one.dataset.digest, one.tags[0].value) for one in parent.inputs.dataset_inputs]
    assert sorted(used) == sorted((one.name, one.digest, one.context) for one in datasets_of(tiny_corpus()))
    folder = tmp_path / "mlartifacts"
    assert json.loads((folder / parent.info.run_id / "artifacts" / "summary.json").read_text()) == SUMMARY
    prompt = folder / trial.info.run_id / "artifacts" / "prompt" / "prompt.safetensors"
    assert prompt.read_bytes() == b"weights"


def test_a_server_holds_the_study_and_shows_its_files(server, tmp_path):
    tracker = MlflowTracker(tmp_path / "demo", server.url, experiment="live", interval_s=0.05)
    tell_a_study(tracker, tmp_path)
    assert tracker.close(30) == 0
    found = check_the_study(server.url, tmp_path, "live")
    shown = server.get(f"/get-artifact?path=summary.json&run_uuid={found.runs[None].info.run_id}")
    assert json.loads(shown) == SUMMARY


def test_a_server_killed_half_way_ends_up_with_every_point_once(server, tmp_path, caplog):
    tracker = MlflowTracker(tmp_path / "demo", server.url, experiment="killed", interval_s=0.02)
    tracker.study_opened(INFO)
    told, slowest = [], 0.0
    for number in range(6):
        tracker.trial_started(number, {"lr": 0.5})
        for step in range(1, 21):
            if (number, step) == (2, 10):
                threading.Thread(target=server.kill).start()
            start = time.perf_counter()
            tracker.reported(number, report(32 * step, 1 / (number + step)))
            slowest = max(slowest, time.perf_counter() - start)
            told += [(number, 32 * step)]
            time.sleep(0.005)
        tracker.trial_finished(number, "COMPLETE")
    server.start()
    tracker.study_finished({})
    assert tracker.close(60) == 0
    found = Found(server.url, "killed")
    assert found.statuses() == dict.fromkeys((None, *range(6)), "FINISHED")
    arrived = [(n, step) for n in range(6) for name, step, _ in found.points(n) if name == "valid_accuracy"]
    assert sorted(arrived) == sorted(told)
    assert "is away" in caplog.text
    assert slowest < 1.0


def test_a_server_dead_from_the_start_costs_nothing_and_sync_sends_all(server, tmp_path, caplog):
    dead = f"http://user:secret@127.0.0.1:{free_port()}"
    tracker = MlflowTracker(tmp_path / "runs" / "demo", dead, experiment="offline", interval_s=0.05)
    start = time.monotonic()
    tell_a_study(tracker, tmp_path)
    assert time.monotonic() - start < 1.0
    left = tracker.close(0.5)
    assert sync(tmp_path / "runs", server.url).sent == left
    check_the_study(server.url, tmp_path, "offline")
    assert "secret" not in caplog.text


KILLED_SEARCH = """
import os, signal, sys, time
from pathlib import Path
from sp_search.tracking.api.tracker import MlflowTracker
from tests.tracking.fakes import INFO, report
tracker = MlflowTracker(Path(sys.argv[1]), sys.argv[2], interval_s=0.01)
tracker.study_opened(INFO)
for number in range(12):
    tracker.trial_started(number, {"lr": 0.5})
    for step in range(1, 11):
        tracker.reported(number, report(32 * step, number / 12 + step / 1000))
    if number < 11:
        tracker.trial_finished(number, "COMPLETE")
    time.sleep(0.01)
    if number == 6:
        while sys.argv[3] == "half sent" and not tracker.run_id:
            time.sleep(0.01)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("when", ["nothing sent", "half sent"])
def test_a_killed_search_is_sent_by_sync_without_loss_or_double(sqlite, tmp_path, when):
    at_first = sqlite if when == "half sent" else f"http://127.0.0.1:{free_port()}"
    study = tmp_path / "runs" / "demo"
    command = [sys.executable, "-c", KILLED_SEARCH, str(study), at_first, when]
    died = subprocess.run(command, cwd=REPOSITORY, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, check=False)
    assert died.returncode == -signal.SIGKILL
    left = len(list(Spool(study / "spool").all_events()))
    counts = sync(tmp_path / "runs", sqlite)
    assert (counts.left, counts.rejected, counts.torn) == (0, 0, 0)
    assert counts.sent == left + 1 if when == "nothing sent" else 0 < counts.sent <= left + 1
    found = Found(sqlite)
    assert found.statuses() == {None: "KILLED", **dict.fromkeys(range(11), "FINISHED"), 11: "KILLED"}
    for number in range(12):
        accuracies = [(s, v) for name, s, v in found.points(number) if name == "valid_accuracy"]
        assert accuracies == [(32 * step, number / 12 + step / 1000) for step in range(1, 11)]
    again = sync(tmp_path / "runs", sqlite, again=True)
    assert again.sent == left + 1
    assert sum(len(Found(sqlite).points(n)) for n in range(12)) == 12 * 10 * 3


def test_more_than_a_request_may_hold_arrives_whole(sqlite, tmp_path):
    tracker = MlflowTracker(tmp_path / "demo", sqlite, interval_s=60)
    tracker.study_opened(INFO)
    tracker.trial_started(0, {f"p{i}": "x" * 7000 for i in range(150)}, {f"t{i}": i for i in range(150)})
    for step in range(1, 1201):
        tracker.reported(0, report(step, 0.5 if step % 2 else math.nan))
    tracker.trial_finished(0, "COMPLETE")
    tracker.study_finished({})
    assert tracker.close(60) == 0
    found = Found(sqlite)
    assert len(found.points(0)) == 2 * 1200 + 1
    assert len(found.runs[0].data.params) == 150
    assert found.runs[0].data.params["p0"].endswith("x... (cut, 7000 characters in all)")
    assert {f"sp_search.t{i}" for i in range(150)} <= set(found.runs[0].data.tags)


def test_a_study_deleted_in_the_store_is_refused_run_by_run_and_stops_nothing(sqlite, tmp_path):
    tracker = MlflowTracker(tmp_path / "demo", sqlite, interval_s=0.02)
    tracker.study_opened(INFO)
    tracker.trial_started(0, {"lr": 0.5})
    while not tracker.run_id or 0 not in Found(sqlite).runs:
        time.sleep(0.05)
    found = Found(sqlite)
    found.client.delete_run(found.runs[0].info.run_id)
    tracker.reported(0, report(32, 0.5))
    tracker.trial_started(1, {"lr": 0.25})
    tracker.reported(1, report(32, 0.5))
    tracker.study_finished({})
    assert tracker.close(30) == 0
    assert len(Found(sqlite).points(1)) == 3
    reasons = Spool(tmp_path / "demo" / "spool").rejected.read_text()
    assert "must be in the 'active' state" in reasons


def test_a_study_brought_to_a_server_afterwards_is_whole(sqlite, server, tmp_path):
    ended_study(tmp_path / "runs", sqlite, "late")
    counts = sync(tmp_path / "runs", server.url)
    assert (counts.left, counts.rejected) == (0, 0)
    assert files_of(MlflowClient(server.url), runs_of(server.url)["late", ""]) == FILES
    assert "late" in versions_of(server.url).values()
