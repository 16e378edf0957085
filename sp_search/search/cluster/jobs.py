"""Searches as jobs of a Ray cluster (Ray Jobs): handed over, followed, told apart by their study."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import partial
from pathlib import Path

from sp_search.errors import ConfigError, StudyError
from sp_search.files.paths import is_disk_full

STUDY, RUNS = "sp_search.study", "sp_search.runs"
"""What a job's metadata say of its search."""
TOKEN = "~/.ray/auth_token"
"""Where Ray's programs look for the token."""
ADDRESS = "RAY_API_SERVER_ADDRESS"
"""The variable that Ray's client takes before any address that it is given."""
TIME_TO_SAVE_S = 60
"""What a job that is stopped has before it is killed; Ray gives 3 s."""
PAUSE_S = 2.0
"""Between two looks at a job."""
TRIES = 30
"""How often in a row a look may fail before the cluster is given up."""
NOT_UP = "try again later"
"""Ray's answer, among other words, of a cluster of which no node can start a job yet."""
LONGEST_ID = 100
"""Characters of a study's name in the id of a job, which names the job's log."""


class _Shown:
    """What was written of a log so far. An error in writing is kept: it is not one of the cluster."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write, self._characters = write, 0
        self._error: OSError | None = None

    def more(self, piece: str, end: int) -> bool:
        """Write what is new of a piece that ends behind so many characters of the log; whether that works."""
        try:
            if end > self._characters:
                self._write(piece[max(0, len(piece) - (end - self._characters)) :])
                self._characters = end
        except OSError as error:
            self._error = error
        return self._error is None

    def check(self) -> None:
        """Raise the error in writing, if there was one."""
        if self._error is not None:
            raise self._error


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
        with self._asked(), _as_variable(address):
            self._client = JobSubmissionClient(address)

    def job_of(self, study: str, runs: Path) -> str | None:
        """The job that searches in a study now, or waits to; None if there is none."""
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
        name = re.sub(r"[^A-Za-z0-9_.-]", "_", study)[:LONGEST_ID]
        submit = partial(
            self._client.submit_job,
            entrypoint=entrypoint,
            submission_id=f"{name}-{datetime.now():%Y%m%d-%H%M%S}",
            runtime_env={"py_modules": [*map(str, packages)], "env_vars": environment},
            metadata={STUDY: study, RUNS: str(runs)},
        )
        with self._asked():
            return str(_once_up(submit))

    def stop(self, job: str) -> None:
        """Ask a job to end. It has the time to save its trials."""
        with self._asked():
            self._client.stop_job(job)

    def follow(self, job: str, write: Callable[[str], object]) -> int:
        """Write the log of a job until it ends.

        Args:
            job: its id.
            write: takes what is new in the log; its errors are the caller's.

        Returns:
            The exit code of its command; 1 if it had none.

        Raises:
            StudyError: the cluster does not answer any more.
        """
        from ray.job_submission import JobStatus

        shown, failed = _Shown(write), 0
        while True:
            with suppress(*_faults()):  # without the stream, the whole log is asked for below
                asyncio.run(self._tail(job, shown))
            try:
                found, log = self._client.get_job_info(job), self._client.get_job_logs(job)
            except _faults() as error:
                if (failed := failed + 1) == TRIES:
                    raise StudyError(
                        f"{self._address}: expected the cluster of job {job} to answer, got {_why(error)}; the same "
                        f"command follows the job again"
                    ) from error
            else:
                failed = 0
                shown.more(log, len(log))
                if found.status.is_terminal():
                    shown.check()
                    return 0 if found.status == JobStatus.SUCCEEDED else int(found.driver_exit_code or 1)
            shown.check()
            time.sleep(PAUSE_S)

    async def _tail(self, job: str, shown: _Shown) -> None:
        """Show the log until the connection ends. Ray sends it from its beginning each time."""
        seen = 0
        async for lines in self._client.tail_job_logs(job):
            seen += len(lines)
            if not shown.more(lines, seen):
                return

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
        except _faults() as error:
            if is_disk_full(error):
                raise
            raise ConfigError(
                f"dashboard: expected a Ray cluster that takes jobs, got {self._address}: {_why(error)}; forward the "
                f"port of its head's dashboard, as with ray dashboard cluster/aws.yaml, or say dashboard=http://HOST:PORT"
            ) from error


@contextmanager
def _as_variable(address: str) -> Iterator[None]:
    """Have Ray's client use this address, whatever RAY_ADDRESS says."""
    before = os.environ.get(ADDRESS)
    os.environ[ADDRESS] = address
    try:
        yield
    finally:
        if before is None:
            del os.environ[ADDRESS]
        else:
            os.environ[ADDRESS] = before


def _faults() -> tuple[type[Exception], ...]:
    """What Ray's client raises where a cluster, or what stands at its address, does not answer as one."""
    from aiohttp import ClientError
    from ray.exceptions import RayError

    return OSError, RuntimeError, ValueError, KeyError, ClientError, RayError


def _once_up(ask: Callable[[], object]) -> object:
    """What a cluster answers, asked again while it only starts."""
    for _ in range(TRIES - 1):
        try:
            return ask()
        except RuntimeError as error:
            if NOT_UP not in str(error):
                raise
        time.sleep(PAUSE_S)
    return ask()


def _send_token() -> None:
    """Have Ray's client send the token that this user has. Ray's other programs do so by themselves."""
    if {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys() or Path(TOKEN).expanduser().exists():
        os.environ.setdefault("RAY_AUTH_MODE", "token")


def _why(error: Exception) -> str:
    return f"{' '.join(str(error).split()):.300}".rstrip(".")
