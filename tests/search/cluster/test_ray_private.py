"""What `ray_private` takes from Ray's inside is there, and Ray is a version that it was checked on."""

import os
import signal
import subprocess
import sys
import time

import pytest
import ray
from ray._private import ray_constants, services

from sp_search.cli.ending import exit_code
from sp_search.search.cluster.ray_private import CHECKED, cluster_place, no_cluster, without_noise
from sp_search.search.cluster.session import ray_session

ASKED_TO_STOP = f"from {__name__} import asked_to_stop; asked_to_stop()"


def test_ray_is_a_version_whose_inside_was_checked():
    assert ray.__version__.startswith(f"{CHECKED}."), "check search/cluster/ray_private.py and tune/controller.py"


def test_the_switch_that_keeps_ray_on_loopback_is_there_and_is_put_back():
    before = ray_constants.ENABLE_RAY_CLUSTER
    with no_cluster():
        assert ray_constants.ENABLE_RAY_CLUSTER is False
    assert ray_constants.ENABLE_RAY_CLUSTER is before
    assert isinstance(ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR, str)


def test_messages_on_tasks_of_an_ended_worker_are_left_out_and_others_go_to_stderr(capsys):
    from ray._private import worker

    assert "print_to_stdstream" in worker.listen_error_messages.__code__.co_names
    before = worker.print_to_stdstream
    lines = [
        "Task Worker.tune_result failed. There are infinite retries remaining, so the task will be retried.",
        "A worker died or was killed while executing a task by an unexpected system error.",
        "The node ran\nout of memory.",
    ]
    with without_noise():
        worker.print_to_stdstream({"lines": lines, "pid": "raylet", "is_err": False}, ignore_prefix=False)
    assert worker.print_to_stdstream is before
    assert capsys.readouterr() == ("", "sp-search: ray: The node ran out of memory.\n")


def test_the_place_of_a_cluster_can_be_looked_up():
    assert services.canonicalize_bootstrap_address("192.0.2.7:6379") == "192.0.2.7:6379"
    assert cluster_place("[::1]:6379")[1] == 6379


def asked_to_stop():
    """Send SIGTERM to this process, in which Ray runs."""

    def command():
        with ray_session(None, 1):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)
        return 0

    sys.exit(exit_code(command, goes_on=True))


@pytest.mark.slow
def test_sigterm_is_for_this_program_alone_while_ray_runs():
    done = subprocess.run([sys.executable, "-c", ASKED_TO_STOP], capture_output=True, text=True, timeout=90)
    assert done.stderr == "sp-search: interrupted; the same command goes on from here\n"
    assert done.returncode == 130
