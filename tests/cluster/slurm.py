"""A real SLURM of two nodes on this machine, for as long as a test runs; the nodes are processes of `slurmd`."""

import os
import shutil
import subprocess
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.cluster.processes import LIMIT_S, session
from tests.tracking.servers import free_port

DAEMONS = ("slurmctld", "slurmd", "sbatch")
MISSING = [name for name in DAEMONS if shutil.which(name) is None]
ABSENT = f"needs root and Debian's slurmctld, slurmd, slurm-client: no {', '.join(MISSING)}" if MISSING else ""
if not ABSENT and os.getuid() != 0:
    ABSENT = "needs root: slurmd starts jobs in their users' names"
CONF = """ClusterName=test
SlurmctldHost=localhost
SlurmUser=root
SlurmdUser=root
AuthType=auth/none
CredType=cred/none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SlurmctldPort={ports[0]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
SelectType=select/linear
FirstJobId={first_job}
KillWait=10
NodeName=n1 NodeHostname=localhost NodeAddr=127.0.0.1 Port={ports[1]} CPUs=1 State=UNKNOWN
NodeName=n2 NodeHostname=localhost NodeAddr=127.0.0.1 Port={ports[2]} CPUs=1 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


class Slurm:
    """The commands of a running SLURM."""

    def __init__(self, conf: Path) -> None:
        self._environment = os.environ | {"SLURM_CONF": str(conf)}

    def run(self, *command, cwd: Path | None = None, **environment: str) -> str:
        """What a command says on both streams; it must end with 0."""
        done = subprocess.run(
            list(map(str, command)), env=self._environment | environment, cwd=cwd, capture_output=True, text=True,
            timeout=LIMIT_S, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    def job(self, number: str) -> dict[str, str]:
        """What the controller knows of a job."""
        return dict(word.split("=", 1) for word in self.run("scontrol", "show", "job", number).split() if "=" in word)


@contextmanager
def slurm(folder: Path):
    """Two idle nodes, n1 and n2, of one core each, and their controller."""
    (folder / "state").mkdir(parents=True)
    conf = folder / "slurm.conf"
    ports = [free_port() for _ in range(3)]
    conf.write_text(CONF.format(folder=folder, ports=ports, first_job=os.getpid()))
    found = Slurm(conf)
    with ExitStack() as stack:
        stack.enter_context(session(["slurmctld", "-D", "-f", conf]))
        for node in ("n1", "n2"):
            stack.enter_context(session(["slurmd", "-D", "-f", conf, "-N", node]))
        deadline = time.monotonic() + LIMIT_S
        while _idle(conf) != 2:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        stack.callback(_cancel_all, found)
        yield found


def _cancel_all(found: Slurm) -> None:
    """End the jobs that a failed test left; their processes have sessions of their own."""
    found.run("scancel", f"--user={os.getuid()}")
    deadline = time.monotonic() + LIMIT_S
    while found.run("squeue", "--noheader"):
        assert time.monotonic() < deadline
        time.sleep(0.2)


def _idle(conf: Path) -> int:
    command = ["sinfo", "--noheader", "--Node", "--states=idle"]
    done = subprocess.run(
        command, env=os.environ | {"SLURM_CONF": str(conf)}, capture_output=True, text=True, check=False
    )
    return len(done.stdout.split("\n")) - 1 if done.returncode == 0 else 0
