"""Whole searches through Ray: to the end, and in processes of their own killed, interrupted, with a worker lost."""

import gc
import json
import os
import re
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import ray
from ray import cloudpickle
from ray.exceptions import ActorDiedError

from sp_search.errors import ConfigError
from sp_search.search.base.run_numbers import run_of
from sp_search.search.run.crew import start_worker
from sp_search.search.study.study import load_study
from sp_search.search.study.trials import FINISHED
from sp_search.search.workers import watchdog
from sp_search.search.workers.trainer import build_trainer
from sp_search.search.workers.watchdog import Watchdog
from tests.cluster.processes import LIMIT_S, wait_for
from tests.search.fake_search import EventFile, search
from tests.search.fake_trainer import FakeTrainer, curve
from tests.search.searches import new_study, settings

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[3]


def begin(runs, **order):
    command = [sys.executable, "-m", "tests.search.fake_search", json.dumps({"runs": str(runs), **order})]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def events(runs, kind):
    path = runs / "events.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [event[1:] for line in lines if (event := json.loads(line))[0] == kind]


def kill_all(process):
    """The driver first, so that it can tell nobody, then what it started."""
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    os.killpg(process.pid, signal.SIGKILL)


def test_a_search_ends_with_a_confirmed_winner_and_every_trial_accounted_for(in_ray, tmp_path):
    summary = search(tmp_path, trials=24, slots=4)
    study = new_study(tmp_path)
    assert sum(summary["trials"].values()) == len(study.trials) == 24
    assert summary["trials"]["pruned"] > 0
    best = max((t for t in study.trials if t.value is not None), key=lambda t: t.value)
    assert summary["best"]["trial"] == best.number
    assert summary["best"]["test"]["accuracy"] == pytest.approx(curve(best.params, 1600))
    assert len(summary["best"]["seeds"]) == 2
    value = summary["best"]["test"]["accuracy"]
    assert summary["best"]["intervals"]["accuracy"] == pytest.approx([value - 0.01, value + 0.01])
    assert summary["best"]["train_s"] == 0.5
    assert summary["wall_s"] > 0
    assert best.user_attrs["facts"] == {"method": "prompt", "trained_parameters": 7, "stored_bytes": 28}


@pytest.mark.long
def test_a_search_killed_at_its_height_goes_on_and_trains_nothing_twice(in_ray, tmp_path):
    killed = begin(tmp_path, trials=10, slots=3, pause_s=0.05)
    wait_for(lambda: len(events(tmp_path, "reported")) >= 8, killed)
    kill_all(killed)
    search(tmp_path, trials=10, slots=3)
    trials = new_study(tmp_path).trials
    assert len(trials) == 10
    reported = [tuple(event) for event in events(tmp_path, "reported")]
    assert len(reported) == len(set(reported)), "a report that was known was made again"
    assert {t.state.name for t in trials} <= {"COMPLETE", "PRUNED", "FAIL"}
    assert any(t.state.name == "COMPLETE" for t in trials)


def test_an_ended_search_goes_on_to_a_greater_total(in_ray, tmp_path):
    search(tmp_path, trials=3)
    summary = search(tmp_path, trials=6)
    assert sum(summary["trials"].values()) == 6


def test_an_ended_search_of_the_same_total_is_done_at_once_and_says_the_same(in_ray, tmp_path):
    first = search(tmp_path, trials=3)
    again = search(tmp_path, trials=3)
    assert again["best"] == first["best"]


def test_the_new_summary_is_there_before_a_study_says_that_it_is_finished(in_ray, tmp_path, monkeypatch):
    search(tmp_path, trials=3)
    found = []

    def look(observer, summary):
        written = json.loads((tmp_path / "s" / "summary.json").read_text())
        found.append((sum(written["trials"].values()), load_study("s", None, tmp_path / "s").user_attrs[FINISHED]))

    monkeypatch.setattr(EventFile, "study_finished", look)
    search(tmp_path, trials=6)
    assert found == [(6, None)]


def test_a_search_gives_its_workers_cores_back_at_once(in_ray, tmp_path):
    cores = ray.cluster_resources()["CPU"]
    gc.disable()  # what only the collector would free may stay for minutes
    try:
        search(tmp_path, trials=1, cpus_per_worker=cores)
        deadline = time.monotonic() + 20
        while ray.available_resources().get("CPU") != cores:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        gc.enable()


def test_sigterm_ends_a_search_and_the_observers_are_closed(tmp_path):
    ended = begin(tmp_path, trials=100, pause_s=0.05)
    wait_for(lambda: events(tmp_path, "reported"), ended)
    ended.terminate()
    _, err = ended.communicate(timeout=60)
    assert ended.returncode != 0
    assert "KeyboardInterrupt" in err
    assert len(events(tmp_path, "closed")) == 1


def worker_pids(process):
    """Ray's processes of the search's worker actor."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            name = (folder / "cmdline").read_bytes()
            session = int((folder / "stat").read_text().rpartition(")")[2].split()[3])
        except (OSError, ValueError):
            continue
        if re.match(rb"ray::Worker", name) and session == process.pid:
            found.append(int(folder.name))
    return found


@pytest.mark.long
def test_a_killed_worker_comes_back_and_its_trials_go_on_from_their_last_reports(tmp_path):
    process = begin(tmp_path, trials=4, pause_s=0.1)
    wait_for(lambda: len(events(tmp_path, "reported")) >= 3, process)
    (worker,) = worker_pids(process)
    os.kill(worker, signal.SIGKILL)
    out, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0, err
    summary = json.loads(out.splitlines()[-1])
    assert summary["trials"]["failed"] == 0
    assert sum(summary["trials"].values()) == 4
    reported = [tuple(event) for event in events(tmp_path, "reported")]
    assert len(reported) == len(set(reported))


@pytest.mark.long
def test_a_confirm_run_cut_off_goes_on_from_its_last_report(in_ray, tmp_path):
    def confirmed():
        return [seen for number, seen in events(tmp_path, "reported") if run_of(number) is not None]

    order = {"trials": 2, "confirm_top": 1, "confirm_seeds": 1}
    killed = begin(tmp_path, pause_s=0.1, **order)
    wait_for(lambda: 400 in confirmed(), killed)
    kill_all(killed)
    search(tmp_path, **order)
    assert (confirmed().count(100), confirmed()[-1]) == (1, 1600), "from nothing it would report at 100 again"


def test_workers_of_a_machine_see_the_same_memory_and_cannot_write_to_it(in_ray, tmp_path, capfd):
    config, here = settings(tmp_path, workers=2), ray.put(np.arange(1_000_000))
    make = partial(build_trainer, Lender, cloudpickle.dumps(here))
    workers = [start_worker(config, make) for _ in range(2)]
    told = [worker.report.remote(config.request(n, {"lr": 0.5}, 0), 0) for n, worker in enumerate(workers)]
    (one, other) = (told.facts for told in ray.get(told))
    assert one["place"] == other["place"]
    assert (one["writable"], one["last"]) == (False, 999_999)
    assert "plasma" in one["name"]
    assert "constructor arguments" not in capfd.readouterr().err  # Ray's complaint about a plain reference


def test_a_worker_that_was_started_again_finds_what_is_shared(in_ray, tmp_path):
    config, here = settings(tmp_path, workers=1), ray.put(np.arange(1_000_000))
    worker = start_worker(config, partial(build_trainer, Lender, cloudpickle.dumps(here)))
    before = ray.get(worker.report.remote(config.request(0, {"lr": 0.5}, 0), 0)).facts
    os.kill(before["pid"], signal.SIGKILL)
    after = ray.get(worker.report.remote(config.request(1, {"lr": 0.5}, 0), 0)).facts
    assert after["pid"] != before["pid"]
    assert (after["place"], after["last"]) == (before["place"], 999_999)


@pytest.mark.parametrize("fault", ["stopped", "stuck"])
def test_a_worker_that_stands_still_is_replaced_and_its_trial_goes_on(in_ray, tmp_path, monkeypatch, fault):
    """A process that is stopped answers nothing; one whose engine thread is stuck still answers other calls."""
    monkeypatch.setattr(watchdog, "EVERY_S", 0.2)
    monkeypatch.setattr(watchdog, "SILENT_S", 2.0)
    told, config, shared = [], settings(tmp_path, workers=1), ray.put(None)
    hole = tmp_path / "stuck"
    worker = start_worker(config, partial(build_trainer, partial(Sticky, hole), cloudpickle.dumps(shared)))
    dog = Watchdog(time.monotonic, told.append)
    dog.watch(0, worker)
    request = config.request(0, {"lr": 0.5}, 0)
    before = ray.get(worker.report.remote(request, 0))
    for _ in range(20):
        time.sleep(0.1)
        dog.check()
    pid = ray.get(worker.pulse.remote()).pid
    if fault == "stopped":
        os.kill(pid, signal.SIGSTOP)
    else:
        hole.touch()
    asked = worker.report.remote(request, 100)
    deadline = time.monotonic() + LIMIT_S
    while not ray.wait([asked], timeout=0.1)[0]:
        if told:
            hole.unlink(missing_ok=True)
        dog.check()
        assert time.monotonic() < deadline
    after = ray.get(asked)
    assert (before.report.utterances_seen, after.report.utterances_seen) == (100, 400)
    assert ray.get(worker.pulse.remote()).pid != pid
    (line,) = told
    assert line.startswith(f"worker 0 (process {pid} on node ")
    assert ("has not answered" if fault == "stopped" else "has been at one step") in line


class Sticky(FakeTrainer):
    """Stands still in a chunk as long as a file is there."""

    def __init__(self, hole, shared):
        super().__init__()
        self._hole = hole

    def advance(self, numbers, until):
        while self._hole.exists():
            time.sleep(0.05)
        return super().advance(numbers, until)


class Lender(FakeTrainer):
    """Tells where the array that it shares lies, and its process."""

    def __init__(self, shared):
        super().__init__()
        self._shared = shared

    def facts(self, number):
        address = self._shared.ctypes.data
        for line in Path("/proc/self/maps").read_text().splitlines():
            area, _, offset, device, inode, *name = line.split(maxsplit=5)
            first, end = (int(edge, 16) for edge in area.split("-"))
            if first <= address < end:
                place = [device, inode, address - first + int(offset, 16)]
                can_write, last = self._shared.flags.writeable, int(self._shared[-1])
                return {
                    "name": " ".join(name), "place": place, "writable": can_write, "last": last, "pid": os.getpid(),
                }  # fmt: skip
        raise AssertionError("an array lies somewhere")


def test_a_trial_whose_engine_breaks_fails_and_the_search_goes_on(in_ray, tmp_path):
    space = {"lr": {"choice": [0.666, 0.3, 0.4, 0.5]}}
    summary = search(tmp_path, trials=6, slots=1, space=space)
    assert summary["trials"]["failed"] >= 1
    assert summary["best"]["params"]["lr"] != 0.666


class Mistaken(FakeTrainer):
    """Finds a mistake of the user when it is made."""

    def __init__(self, shared=None, pause_s=0.0):
        raise ConfigError("engine.dtype: expected one that this GPU has, got bfloat16")


class Broken(FakeTrainer):
    """Can't be made."""

    def __init__(self, shared=None, pause_s=0.0):
        raise RuntimeError("a bug")


def test_a_users_mistake_that_a_worker_finds_is_told_as_one_and_a_bug_is_not(in_ray, tmp_path):
    with pytest.raises(ConfigError, match=r"^engine.dtype: expected one that this GPU has, got bfloat16$"):
        search(tmp_path / "a", trainer=Mistaken)
    with pytest.raises(ActorDiedError, match="a bug"):
        search(tmp_path / "b", trainer=Broken)
