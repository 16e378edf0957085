"""The SLURM script: between an srun and an scontrol of our own, and as a job of a real SLURM of two nodes.

Both have two real Ray nodes, and a job whose time is over.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from tests.cluster.processes import LIMIT_S, ends, session, wait_for
from tests.cluster.slurm import ABSENT, slurm

pytestmark = pytest.mark.slow
SCRIPT = Path(__file__).parents[2] / "cluster" / "slurm.sh"
SRUN = """#!/bin/bash
echo "$@" >> steps
while [[ $1 == --* ]]; do shift; done
exec "$@"
"""
SCONTROL = """#!/bin/bash
echo "$@" > scontrol
"""
SEARCH = f"""#!{sys.executable}
import json, os, signal, sys, time
import ray
signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
ray.init("auto", logging_level="ERROR")
signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
while sum(node["Alive"] for node in ray.nodes()) < 2:
    time.sleep(0.1)
mode, token = os.environ["RAY_AUTH_MODE"], os.stat(os.environ["RAY_AUTH_TOKEN_PATH"]).st_mode & 0o777
with open("found.part", "w") as file:
    json.dump({{"words": sys.argv[1:], "mode": mode, "token": token}}, file)
os.rename("found.part", "found")
while True:
    time.sleep(0.1)
"""


FOUND = {
    "words": ["search", "cluster=ray", "cluster.nodes=2", "task=intent", "study=first"],
    "mode": "token", "token": 0o600,
}  # fmt: skip


def write_commands(project, commands):
    """Put commands where the script looks first."""
    folder = project / ".venv" / "bin"
    folder.mkdir(parents=True)
    for name, text in commands.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)


def path():
    return f"{Path(sys.executable).parent}:{os.environ['PATH']}"


@pytest.mark.long
def test_a_job_is_a_cluster_of_its_nodes_and_queues_itself_again_when_its_time_is_over(tmp_path):
    write_commands(tmp_path, {"srun": SRUN, "scontrol": SCONTROL, "sp-search": SEARCH})
    number = str(os.getpid())
    job = {"SLURM_JOB_ID": number, "SLURM_NNODES": "2", "SLURM_CPUS_ON_NODE": "1", "SLURMD_NODENAME": "here"}
    environment = os.environ | job | {"SLURM_SUBMIT_DIR": str(tmp_path)}
    environment["PATH"] = path()
    with session(["bash", SCRIPT, "task=intent", "study=first"], env=environment) as batch:
        wait_for((tmp_path / "found").exists, batch)
        os.kill(batch.pid, signal.SIGUSR1)
        _, err = batch.communicate(timeout=LIMIT_S)
        assert ends(batch.pid), "the cluster ended with the job"
        assert batch.returncode == 130, err
    assert json.loads((tmp_path / "found").read_text()) == FOUND
    assert [line.split()[1:6:4] for line in (tmp_path / "steps").read_text().splitlines()] == [
        ["--nodes=1", "--nodelist=here"], ["--nodes=1", "--exclude=here"], ["--ntasks-per-node=1"],
    ]  # fmt: skip
    assert not Path(f"/tmp/ray-{number}").exists()
    assert (tmp_path / "scontrol").read_text() == f"requeue {number}\n"
    assert list((tmp_path / "runs").iterdir()) == [], "the token is gone"


@pytest.fixture
def real(tmp_path):
    if ABSENT:
        pytest.skip(ABSENT)
    with slurm(tmp_path / "slurm") as found:
        yield found


@pytest.mark.faults
def test_a_real_slurm_takes_the_script_gives_it_two_nodes_and_queues_it_again(real, tmp_path):
    assert "to start at" in real.run("sbatch", "--test-only", SCRIPT, "task=intent")
    write_commands(tmp_path, {"sp-search": SEARCH})
    log = tmp_path / "log"
    words = ["--parsable", f"--output={log}", SCRIPT, "task=intent", "study=first"]
    job = real.run("sbatch", *words, cwd=tmp_path, PATH=path()).strip()
    wait_until(lambda: (tmp_path / "found").exists(), log)
    assert json.loads((tmp_path / "found").read_text()) == FOUND
    assert (known := real.job(job))["JobState"] == "RUNNING"
    assert (known["NumNodes"], known["Restarts"], known["TimeLimit"]) == ("2", "0", "08:00:00")
    real.run("scancel", "--batch", "--signal=USR1", job)
    wait_until(lambda: real.job(job)["JobState"] == "PENDING", log)
    wait_until(lambda: not Path(f"/tmp/ray-{job}").exists(), log)
    assert list((tmp_path / "runs").iterdir()) == [], "the token is gone"
    real.run("scancel", job)


def wait_until(condition, log):
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, log.read_text() if log.exists() else "no log"
        time.sleep(0.2)
