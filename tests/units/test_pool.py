"""The worker processes, real ones."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sp_search.errors import CheckpointError
from sp_search.units.pool import hear_here
from tests.units.speech import recipe_of_another_model, recordings, unitizer_recipe, write_hum


@pytest.mark.slow
def test_processes_hear_what_one_hears_and_faults_come_back(tmp_path):
    work = [(recording.id, recording) for recording in recordings(tmp_path, count=40)]
    work[7][1].path.write_text("no audio")
    wanted = {heard.key: heard for heard in (unitizer_recipe()()(*item) for item in work)}
    assert {heard.key: heard for heard in hear_here(unitizer_recipe(), iter(work), processes=2)} == wanted
    assert wanted["u7"].fault.startswith(str(work[7][1].path))


@pytest.mark.slow
def test_a_bad_checkpoint_is_told_of_by_its_name(tmp_path):
    of_model = recipe_of_another_model(tmp_path)
    with pytest.raises(CheckpointError, match=r"expected the hubert model of sha256 000000000000\.\.\., got .*h\.pt"):
        list(hear_here(of_model, [(r.id, r) for r in recordings(tmp_path, count=1)], processes=1))


def test_only_a_few_recordings_are_taken_ahead():
    """Memory must not grow with the corpus. Seen through a pool that does nothing."""
    taken = []

    def endless():
        while True:
            taken.append(1)
            yield "k", None

    class Pool:
        def __init__(self, *_): ...
        def __enter__(self):
            return self

        def __exit__(self, *_): ...
        def shutdown(self, **_): ...
        def submit(self, *_):
            return object()

    def wait(flying, return_when):
        raise InterruptedError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sp_search.units.pool.ProcessPoolExecutor", Pool)
        patch.setattr("sp_search.units.pool.wait", wait)
        with pytest.raises(InterruptedError):
            next(hear_here(unitizer_recipe(), endless(), processes=2))
    assert len(taken) == 2 * 3 * 16


ENVIRONMENT = {**os.environ, "PYTHONPATH": "."}
DRIVER = """
import csv, json, resource, sys, time
from pathlib import Path
from sp_search.cli.main import main

if __name__ == "__main__":
    began = time.monotonic()
    settings = ["units.quantizer=null", "units.fit.utterances=50", "cluster.workers=2"]
    code = main(["prepare", f"corpus={sys.argv[1]}", f"to={sys.argv[2]}", *settings])
    usage = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print(json.dumps({"code": code, "kilobytes": usage, "wall_s": time.monotonic() - began}))
"""


def manifest(folder, count):
    files = [write_hum(folder / f"{i}.wav", seconds=2.0, seed=i) for i in range(count)]
    lines = [f"{path.name},{('train', 'valid', 'test')[i % 3]},yes\n" for i, path in enumerate(files)]
    (folder / "m.csv").write_text("path,split,labels\n" + "".join(lines))
    return folder / "m.csv"


@pytest.mark.long
def test_a_thousand_files_take_no_more_memory_than_a_hundred_and_less_than_a_minute(tmp_path):
    (tmp_path / "driver.py").write_text(DRIVER)
    told = {}
    for count in (100, 1000):
        words = [
            sys.executable,
            tmp_path / "driver.py",
            manifest(tmp_path / str(count), count),
            tmp_path / f"out{count}",
        ]
        done = subprocess.run(words, capture_output=True, text=True, check=True, env=ENVIRONMENT)
        told[count] = json.loads(done.stdout.splitlines()[-1])
    assert told[1000]["code"] == 0
    assert told[1000]["wall_s"] < 60
    for few, many in zip(told[100]["kilobytes"], told[1000]["kilobytes"], strict=True):
        assert many < 1.05 * few


@pytest.mark.slow
@pytest.mark.long
def test_workers_end_when_their_parent_is_killed(tmp_path):
    (tmp_path / "driver.py").write_text(DRIVER)
    corpus = manifest(tmp_path / "wavs", 400)
    words = [sys.executable, tmp_path / "driver.py", corpus, tmp_path / "out"]
    parent = subprocess.Popen(words, env=ENVIRONMENT, stderr=subprocess.DEVNULL)
    children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
    ledger = tmp_path / "out" / "done"
    _until(lambda: any(path.stat().st_size for path in ledger.glob("*.jsonl")))
    workers = [int(pid) for pid in children.read_text().split()]
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    _until(lambda: not any(Path(f"/proc/{pid}/stat").exists() for pid in workers))
    assert workers


def _until(true, timeout_s=60.0):
    end = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)
