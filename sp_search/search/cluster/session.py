"""Ray, joined or started: no dashboard, no telemetry, and on this machine alone unless an address is given."""

from __future__ import annotations

import gc
import os
import secrets
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from sp_search.errors import ConfigError, StudyError
from sp_search.files.paths import check_writable
from sp_search.search.cluster.ray_private import (
    cluster_place,
    longest_temp_folder,
    no_cluster,
    own_signals,
    temp_folder,
    without_noise,
)

KNOCK_S = 10.0


@contextmanager
def ray_session(address: str | None, cpus: int) -> Iterator[None]:
    """Join the cluster at an address, or start Ray here with `cpus` CPUs. A Ray that runs already is left running.

    Raises:
        ConfigError: there is no cluster at the address, or it doesn't let us in; or as `check_temp_folder`.
        StudyError: Ray has ended while it was used.
    """
    import ray

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_worker_niceness", "0")  # Ray's 15 would give way to anything that runs
    if ray.is_initialized():
        yield
        return
    with without_noise(), _ended():  # Ray tells of the workers that are killed until it is shut down
        if address is None:
            check_temp_folder()
            _keep_token_private()
            with no_cluster(), own_signals():
                ray.init("local", num_cpus=cpus, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        else:
            _join(address)
        with _lost_in_one_line():
            yield


def _keep_token_private() -> None:
    """Have Ray's token in a file that this user alone can read. Ray makes one that all users of the machine can read.

    Ray takes the token from there where the environment names no other; who does not have it may run nothing.
    """
    if {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys():
        return
    path = Path.home() / ".ray" / "auth_token"
    try:
        _make_private(path)
    except OSError:  # a home that can't be written
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def _make_private(path: Path) -> None:
    """Make a file with a token, or take the rights of others from the one that is there."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
    except FileExistsError:
        path.chmod(0o600)


@contextmanager
def _lost_in_one_line() -> Iterator[None]:
    """Say in one line that Ray has ended under the block.

    Raises:
        StudyError: a process of Ray is gone.
    """
    from ray.exceptions import RaySystemError, RpcError

    try:
        yield
    except (OSError, RaySystemError, RpcError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of a file; Ray's own have no number
        why = " ".join(str(error).split())
        raise StudyError(
            f"cluster: expected Ray to live, got {why:.200}, as where its raylet was killed; the same command "
            f"goes on from here"
        ) from error


@contextmanager
def _ended() -> Iterator[None]:
    """Shut Ray down, also one that is half started. What it started here and does not end with it is killed.

    Its agents wait for a raylet that is gone, some of them for minutes. What another thread has started lives on.
    """
    import ray

    here = psutil.Process()
    before = {*here.children(recursive=True)}
    try:
        yield
    finally:
        started = _with_children(one for one in {*here.children(recursive=True)} - before if _is_of_ray(one))
        with _uncollected():
            ray.shutdown()
        for process in started:
            with suppress(psutil.NoSuchProcess):
                process.kill()


def _is_of_ray(process: psutil.Process) -> bool:
    """Whether a process is one of Ray's: its command line names Ray's session folder, or it is a worker."""
    with suppress(psutil.Error):
        words = process.cmdline()
        return any("/ray/session_" in word for word in words) or "".join(words[:1]).startswith("ray::")
    return False


def _with_children(processes: Iterable[psutil.Process]) -> set[psutil.Process]:
    """Processes, and all that these have started."""
    found: set[psutil.Process] = set()
    for process in processes:
        found.add(process)
        with suppress(psutil.Error):
            found |= {*process.children(recursive=True)}
    return found


def check_temp_folder() -> None:
    """Whether Ray could start here with its files and sockets in the folder for temporary files.

    Raises:
        ConfigError: its path is too long for a socket below it, or it can't be written.
    """
    name, folder = temp_folder()
    if len(os.fsencode(folder)) > (longest := longest_temp_folder()):
        raise ConfigError(
            f"{name}: expected a path of up to {longest} bytes, for Ray's sockets lie below it, got one of "
            f"{len(os.fsencode(folder))}: {folder}; set RAY_TMPDIR to a shorter one, as RAY_TMPDIR=/tmp"
        )
    check_writable(Path(folder), name, make=False)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Turn garbage collection off: freeing one of Ray's objects while Ray shuts down kills the process."""
    gc.collect()
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _join(address: str) -> None:
    """Join, but try the connection first: Ray itself retries a dead address for a quarter of an hour."""
    import ray
    from ray.exceptions import RayError

    try:
        socket.create_connection(cluster_place(address), timeout=KNOCK_S).close()
        with own_signals():
            ray.init(address, log_to_driver=False, logging_level="ERROR")
    except (OSError, RuntimeError, ValueError, RayError) as error:
        why = " ".join(str(error).split())
        raise ConfigError(
            f"cluster.address: expected a Ray cluster that this machine is a node of, got {address}: {why:.300}; "
            f"see cluster/README.md"
        ) from error
