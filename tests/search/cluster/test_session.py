"""How Ray is shielded and left; that it is joined or started, whole searches show."""

import gc
import os
import sys
import weakref
from pathlib import Path

import pytest
import ray
from ray._private import ray_constants

from sp_search.errors import ConfigError
from sp_search.search.cluster.session import check_temp_folder, ray_session
from tests.cluster.processes import family, session

LOCAL = """
import ray
from sp_search.search.cluster.session import ray_session
with ray_session(None, 1):
    ray.get(ray.remote(lambda: None).remote())
    print("up", flush=True)
    input()
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
