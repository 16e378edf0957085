"""The SLURM script between an srun and an scontrol of our own: two real Ray nodes, and a job whose time is over."""

import json
import os
import signal
import sys
from pathlib import Path

import pytest

from tests.cluster.processes import LIMIT_S, ends, session, wait_for

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


def test_a_job_is_a_cluster_of_its_nodes_and_queues_itself_again_when_its_time_is_over(tmp_path):
    fakes = tmp_path / ".venv" / "bin"
    fakes.mkdir(parents=True)
    for name, text in {"srun": SRUN, "scontrol": SCONTROL, "sp-search": SEARCH}.items():
        (fakes / name).write_text(text)
        (fakes / name).chmod(0o755)
    number = str(os.getpid())
    job = {"SLURM_JOB_ID": number, "SLURM_NNODES": "2", "SLURM_CPUS_ON_NODE": "1", "SLURMD_NODENAME": "here"}
    environment = os.environ | job | {"SLURM_SUBMIT_DIR": str(tmp_path)}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    with session(["bash", SCRIPT, "task=intent", "study=first"], env=environment) as batch:
        wait_for((tmp_path / "found").exists, batch)
        os.kill(batch.pid, signal.SIGUSR1)
        _, err = batch.communicate(timeout=LIMIT_S)
        assert ends(batch.pid), "the cluster ended with the job"
        assert batch.returncode == 130, err
    assert json.loads((tmp_path / "found").read_text()) == {
        "words": ["search", "cluster=ray", "cluster.nodes=2", "task=intent", "study=first"],
        "mode": "token", "token": 0o600,
    }  # fmt: skip
    assert [line.split()[1:6:4] for line in (tmp_path / "steps").read_text().splitlines()] == [
        ["--nodes=1", "--nodelist=here"], ["--nodes=1", "--exclude=here"], ["--ntasks-per-node=1"],
    ]  # fmt: skip
    assert not Path(f"/tmp/ray-{number}").exists()
    assert (tmp_path / "scontrol").read_text() == f"requeue {number}\n"
    assert list((tmp_path / "runs").iterdir()) == [], "the token is gone"
