"""A real MLflow server that can be killed and started again on the same port and data."""

import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

from sp_search.tracking.api.ui import ui_command


class Server:
    """`mlflow server` on 127.0.0.1, as `ui_command` starts it, over a copy of an empty database."""

    def __init__(self, empty_database: Path, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(empty_database, folder / "mlflow.db")
        self._command = ui_command(f"sqlite:///{folder}/mlflow.db", port=free_port())
        self._log = (folder / "server.log").open("wb")
        self._process: subprocess.Popen | None = None
        self.url = self._command.url
        self.database = folder / "mlflow.db"

    def start(self) -> None:
        assert self._process is None, "a server that is started twice can be killed once"
        self._process = subprocess.Popen(
            self._command.argv,
            env={**os.environ, **self._command.env},
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )
        deadline = time.monotonic() + 60
        while not self._is_up():
            assert time.monotonic() < deadline, Path(self._log.name).read_text()
            time.sleep(0.1)

    def kill(self) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:
            return answer.read()

    def _is_up(self) -> bool:
        try:
            return self.get("/health") == b"OK"
        except (urllib.error.URLError, OSError):
            return False


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
