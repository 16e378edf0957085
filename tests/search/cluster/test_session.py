"""How Ray is shielded and left; that it is joined or started, whole searches show."""

import errno
import gc
import os
import shutil
import subprocess
import sys
import time
import weakref
from pathlib import Path

import pytest
import ray
from ray._private import ray_constants, worker

from sp_search.errors import ConfigError
from sp_search.search.cluster.session import _keep_token_private, check_temp_folder, ray_session
from tests.cluster.processes import family, session

LOCAL = """
import ray
from sp_search.search.cluster.session import ray_session
with ray_session(None, 1):
    ray.get(ray.remote(lambda: None).remote())
    print("up", flush=True)
    input()
"""
WITH_ADDRESS = """
import ray
from sp_search.search.cluster.session import ray_session
with ray_session(None, 1):
    print(ray.get_runtime_context().gcs_address, flush=True)
    input()
"""
STRANGER = """
import sys
from ray._raylet import GcsClient
GcsClient(address=sys.argv[1]).internal_kv_keys(b"", None, timeout=10)
"""
LONG_FOLDER = """
import os, shutil, sys
from sp_search.search.cluster.ray_private import longest_temp_folder
from sp_search.search.cluster.session import ray_session
folder = f"/tmp/{os.getpid()}-"
os.environ["RAY_TMPDIR"] = folder + "x" * (longest_temp_folder() - len(folder) + int(sys.argv[1]))
try:
    with ray_session(None, 1):
        print("up", flush=True)
finally:
    shutil.rmtree(os.environ["RAY_TMPDIR"], ignore_errors=True)
"""
LISTENING = "0A"
LOOPBACK = ("0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000")


def listening(pids):
    """Command name -> addresses in hexadecimal that processes listen on, as Linux writes them."""
    tables = [line.split() for name in ("tcp", "tcp6") for line in Path("/proc/net", name).read_text().splitlines()]
    addresses = {f"socket:[{row[9]}]": row[1].partition(":")[0] for row in tables if row[3] == LISTENING}
    found = {}
    for pid in pids:
        files = {os.readlink(file) for file in Path(f"/proc/{pid}/fd").iterdir()}
        found.setdefault(Path(f"/proc/{pid}/comm").read_text().strip(), set()).update(
            addresses[file] for file in files if file in addresses
        )
    return found


@pytest.mark.slow
def test_a_ray_of_its_own_listens_to_this_machine_alone():
    with session([sys.executable, "-c", LOCAL], stdin=-1) as process:
        assert process.stdout.readline() == "up\n", process.stderr.read()
        found = listening(family(process.pid))
        process.communicate("\n")
    assert found["gcs_server"]
    assert found["raylet"]
    assert set().union(*found.values()) <= set(LOOPBACK), found
    assert process.returncode == 0


@pytest.mark.slow
def test_a_ray_of_its_own_lets_in_who_has_its_token_and_nobody_else(tmp_path):
    """Another user of the machine reaches 127.0.0.1 too."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")} | {"HOME": str(tmp_path)}
    with session([sys.executable, "-c", WITH_ADDRESS], stdin=-1, env=env) as process:
        address = process.stdout.readline().strip()
        assert (tmp_path / ".ray" / "auth_token").stat().st_mode & 0o077 == 0
        codes = {}
        for who, keys in {
            "without": {"RAY_AUTH_MODE": "disabled"},
            "wrong": {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "wrong"},
            "right": {"RAY_AUTH_MODE": "token"},
        }.items():
            tried = subprocess.run(
                [sys.executable, "-c", STRANGER, address], env=env | keys, capture_output=True, text=True
            )
            codes[who] = tried.returncode
            assert not tried.returncode or "authentication" in tried.stderr.lower()
        process.communicate("\n")
    assert codes == {"without": 1, "wrong": 1, "right": 0}


@pytest.mark.parametrize("mode", [None, 0o644])
def test_the_token_of_ray_is_for_this_user_alone(tmp_path, monkeypatch, mode):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH", raising=False)
    path = tmp_path / ".ray" / "auth_token"
    if mode is not None:
        path.parent.mkdir()
        path.write_text("kept")
        path.chmod(mode)
    _keep_token_private()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_text() == "kept" if mode else len(path.read_text()) == 64


def test_a_token_in_a_home_that_can_not_be_written_is_not_used(tmp_path, monkeypatch):
    def read_only(path, mode):
        raise PermissionError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.setenv(name, "")  # so that it is put back
        monkeypatch.delenv(name)
    path = tmp_path / ".ray" / "auth_token"
    path.parent.mkdir()
    path.write_text("for all to read")
    monkeypatch.setattr(Path, "chmod", read_only)
    _keep_token_private()
    assert len(os.environ["RAY_AUTH_TOKEN"]) == 64


def test_ray_is_kept_from_noise_until_it_is_shut_down(monkeypatch):
    before, told_by = worker.print_to_stdstream, []
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda *_, **__: None)
    monkeypatch.setattr(ray, "shutdown", lambda: told_by.append(worker.print_to_stdstream))
    with ray_session(None, 1):
        pass
    assert told_by != [before]
    assert worker.print_to_stdstream is before


def test_processes_of_ray_end_with_it_and_those_of_other_threads_live_on(monkeypatch):
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    started = []

    def init(*_, **__):
        for name in ("sleep", "ray::Worker", "/tmp/ray/session_1/x"):
            started.append(subprocess.Popen([name, "60"], executable=shutil.which("sleep")))

    monkeypatch.setattr(ray, "init", init)
    try:
        with ray_session(None, 1):
            time.sleep(0.5)
        stranger, *of_ray = started
        assert [process.wait(10) for process in of_ray] == [-9, -9]
        assert stranger.poll() is None
    finally:
        for process in started:
            process.kill()
            process.wait()


@pytest.mark.slow
def test_ray_starts_below_a_folder_of_the_longest_path_and_refuses_a_longer_one_in_one_line():
    for extra in (0, 1):
        with session([sys.executable, "-c", LONG_FOLDER, str(extra)], stdin=-1) as process:
            printed, fault = process.communicate("\n")
        if extra:
            assert fault.splitlines()[-1].startswith(
                "sp_search.errors.ConfigError: RAY_TMPDIR: expected a path of up to "
            )
            assert fault.splitlines()[-1].endswith("set RAY_TMPDIR to a shorter one, as RAY_TMPDIR=/tmp")
        else:
            assert printed == "up\n", fault


@pytest.mark.parametrize("name", ["TMPDIR", "RAY_TMPDIR"])
def test_a_folder_for_temporary_files_that_can_not_be_written_is_refused(monkeypatch, name):
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setenv(name, "/proc/x")
    with pytest.raises(ConfigError, match=f"^{name}: expected a folder that can be written, got /proc/x"):
        check_temp_folder()


@pytest.mark.parametrize("before", [None, "1"])
def test_a_shield_is_down_again_behind_the_start(monkeypatch, before):
    switch, seen = ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR, []
    monkeypatch.delenv(switch, raising=False)
    if before:
        monkeypatch.setenv(switch, before)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(
        ray, "init", lambda *_, **__: seen.append((os.environ[switch], ray_constants.ENABLE_RAY_CLUSTER))
    )
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    with ray_session(None, 1):
        assert seen == [("0", False)]
        assert (os.environ.get(switch), ray_constants.ENABLE_RAY_CLUSTER) == (before, True)


class Ring:
    """Refers to itself, so that only the collector frees it."""

    def __init__(self):
        self.me = self


def test_while_ray_shuts_down_nothing_is_left_to_collect_and_no_thread_collects(monkeypatch):
    seen = []
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda *_, **__: None)
    monkeypatch.setattr(ray, "shutdown", lambda: seen.append((ring(), gc.isenabled())))
    with ray_session(None, 1):
        gc.disable()
        ring = weakref.ref(Ring())
        assert ring() is not None
        gc.enable()
    assert seen == [(None, False)]
    assert gc.isenabled()
