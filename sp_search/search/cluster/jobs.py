"""Searches as jobs of a Ray cluster (Ray Jobs): handed over, followed, told apart by their study."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from sp_search.errors import ConfigError, StudyError

STUDY, RUNS = "sp_search.study", "sp_search.runs"
"""What a job's metadata say of its search."""
TIME_TO_SAVE_S = 60
"""What a job that is stopped has before it is killed; Ray gives 3 s."""
PAUSE_S = 2.0
"""Between two looks at a job."""
TOKEN = "~/.ray/auth_token"
"""Where Ray's programs look for the token."""
TRIES = 30
"""How often in turn a look may fail before the cluster is given up."""


class _Shown:
    """What was written of a log so far."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write, self._characters = write, 0

    def more(self, piece: str, end: int) -> None:
        """Write what is new of a piece that ends behind so many characters of the log."""
        if end > self._characters:
            self._write(piece[max(0, len(piece) - (end - self._characters)) :])
            self._characters = end


class JobServer:
    """Where a cluster takes jobs: its dashboard, http://HOST:8265."""

    def __init__(self, address: str) -> None:
        """Connect.

        Raises:
            ConfigError: nobody answers there, or it does not let us in.
        """
        _send_token()
        from ray.job_submission import JobSubmissionClient

        logging.getLogger("ray").setLevel(logging.WARNING)  # it tells each package that it sends
        self._address = address
        with self._asked():
            self._client = JobSubmissionClient(address)

    def job_of(self, study: str, runs: Path) -> str | None:
        """The job that searches in a study now, if there is one."""
        with self._asked():
            jobs = self._client.list_jobs()
        ours = {STUDY: study, RUNS: str(runs)}
        for job in jobs:
            if not job.status.is_terminal() and ours.items() <= (job.metadata or {}).items():
                return str(job.submission_id)
        return None

    def submit(self, entrypoint: str, packages: Sequence[Path], study: str, runs: Path) -> str:
        """Hand a search over.

        Args:
            entrypoint: the command line, run on the head.
            packages: folders that go to every node of the job, where Python finds them first.
            study: its name.
            runs: the folder of the studies.

        Returns:
            The job's id.
        """
        environment = {"RAY_JOB_STOP_WAIT_TIME_S": str(TIME_TO_SAVE_S), "PYTHONUNBUFFERED": "1"}
        with self._asked():
            job = self._client.submit_job(
                entrypoint=entrypoint,
                submission_id=f"{re.sub(r'[^A-Za-z0-9_.-]', '_', study)}-{datetime.now():%Y%m%d-%H%M%S}",
                runtime_env={"py_modules": [*map(str, packages)], "env_vars": environment},
                metadata={STUDY: study, RUNS: str(runs)},
            )
        return str(job)

    def follow(self, job: str, write: Callable[[str], object]) -> int:
        """Write the log of a job until it ends.

        Args:
            job: its id.
            write: takes what is new in the log.

        Returns:
            The exit code of its command; 1 if it had none.

        Raises:
            StudyError: the cluster does not answer any more.
        """
        from aiohttp import ClientError
        from ray.job_submission import JobStatus

        shown, failed = _Shown(write), 0
        while True:
            try:
                asyncio.run(self._tail(job, shown))
                found = self._client.get_job_info(job)
                if found.status.is_terminal():
                    shown.more(whole := self._client.get_job_logs(job), len(whole))
                    return 0 if found.status == JobStatus.SUCCEEDED else int(found.driver_exit_code or 1)
                failed = 0
            except (OSError, RuntimeError, ClientError) as error:
                if (failed := failed + 1) == TRIES:
                    raise StudyError(
                        f"{self._address}: expected the cluster of job {job} to answer, got {_why(error)}; the same "
                        f"command follows the job again"
                    ) from error
            time.sleep(PAUSE_S)

    async def _tail(self, job: str, shown: _Shown) -> None:
        """Show the log until the connection ends. Ray sends it from its beginning each time."""
        seen = 0
        async for lines in self._client.tail_job_logs(job):
            seen += len(lines)
            shown.more(lines, seen)

    @contextmanager
    def _asked(self) -> Iterator[None]:
        from ray.exceptions import AuthenticationError

        try:
            yield
        except AuthenticationError as error:
            raise ConfigError(
                f"dashboard: expected the token of {self._address}, got {_why(error):.90}...; put the token of the "
                f"cluster into {TOKEN}, or name its file with RAY_AUTH_TOKEN_PATH"
            ) from error
        except (OSError, RuntimeError, ValueError) as error:
            raise ConfigError(
                f"dashboard: expected a Ray cluster that takes jobs, got {self._address}: {_why(error)}; forward the "
                f"port of its head's dashboard, as with ray dashboard cluster/aws.yaml, or say dashboard=http://HOST:PORT"
            ) from error


def _send_token() -> None:
    """Have Ray's client send the token that this user has. Ray's other programs do so by themselves."""
    if {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys() or Path(TOKEN).expanduser().exists():
        os.environ.setdefault("RAY_AUTH_MODE", "token")


def _why(error: Exception) -> str:
    return f"{' '.join(str(error).split()):.300}"
