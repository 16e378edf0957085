"""A cluster of raylets on this machine whose nodes join and are lost as a test wants it."""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import ray

from tests.cluster.processes import LIMIT_S, family
from tests.tracking.servers import free_port


class SimulatedCluster:
    """A head without CPUs, and nodes of one CPU each. With a dashboard it takes jobs there."""

    def __init__(self, *, dashboard: bool = False) -> None:
        self._open = ExitStack()
        folder = tempfile.mkdtemp(prefix="ray.", dir="/tmp")  # paths of Ray's sockets must be short
        self._open.callback(shutil.rmtree, folder, ignore_errors=True)
        self._folder, self._nodes = Path(folder), []
        self.token = secrets.token_hex(32)
        (self._folder / "token").write_text(self.token)
        self.env = os.environ | {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(self._folder / "token"),
            "RAY_USAGE_STATS_ENABLED": "0",
        }
        host = ray.util.get_node_ip_address()
        self.address = f"{host}:{free_port()}"
        port = free_port()
        self.dashboard = f"http://127.0.0.1:{port}"
        self._head = self._start(
            "--head", f"--node-ip-address={host}", f"--port={self.address.rpartition(':')[2]}", "--num-cpus=0",
            f"--temp-dir={folder}", f"--include-dashboard={str(dashboard).lower()}", f"--dashboard-port={port}",
        )  # fmt: skip

    def add(self, count: int) -> None:
        """Let so many nodes join."""
        self._nodes += [self._start(f"--address={self.address}", "--num-cpus=1") for _ in range(count)]

    def lose(self, count: int) -> None:
        """Kill so many nodes, all of their processes at once."""
        for _ in range(count):
            self._kill(self._nodes.pop(0))

    def close(self) -> None:
        """End it all."""
        for process in (*self._nodes, self._head):
            self._kill(process)
        self._open.close()

    def _start(self, *words: str) -> subprocess.Popen:
        log = self._open.enter_context((self._folder / "log").open("ab"))
        own_port = f"--dashboard-agent-listen-port={free_port()}"  # Ray's is one number for all nodes of a machine
        command = [Path(sys.executable).parent / "ray", "start", "--block", "--disable-usage-stats", own_port, *words]
        process = subprocess.Popen(command, env=self.env, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + LIMIT_S
        while not any(b"raylet/raylet" in line for _, line in family(process.pid).values()):
            assert process.poll() is None, (self._folder / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        return process

    def _kill(self, process: subprocess.Popen) -> None:
        for pid in family(process.pid):
            os.kill(pid, signal.SIGKILL)
        process.wait()
