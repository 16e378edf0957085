"""A worker that is killed, stopped, or stands still in a chunk: it is replaced, and its trial goes on."""

import os
import re
import signal

import pytest

from tests.faults.harness import ended, moments, processes

pytestmark = [pytest.mark.slow, pytest.mark.faults]
SILENT_S = 3.0
"""Shorter than the product's, so that the test need not wait as long."""
BUSY = 4
"""Events behind which the worker trains."""


def test_workers_killed_again_and_again_cost_a_search_nothing(search, undisturbed):
    with search.start(pause_s=0.05) as process:
        for at in moments("worker killed", 5, 3.0):
            if search.wait_for_events(process, BUSY if search.events() < BUSY else 1 + int(at)):
                for pid in processes(process, b"ray::Worker"):
                    os.kill(pid, signal.SIGKILL)
        said = ended(process)
    assert all(
        re.match(r"sp-search: worker 0 .* has ended; it was started again", line) for line in said.splitlines()
    )
    assert search.outcome() == undisturbed


def test_a_worker_that_is_stopped_is_replaced(search, undisturbed):
    with search.start(pause_s=0.1, silent_s=SILENT_S) as process:
        assert search.wait_for_events(process, BUSY)
        (pid,) = processes(process, b"ray::Worker")
        os.kill(pid, signal.SIGSTOP)
        said = ended(process)
    assert f"worker 0 (process {pid} on node " in said
    assert "has not answered for" in said
    assert len(said.splitlines()) == 1
    assert search.outcome() == undisturbed


def test_an_engine_thread_that_stands_still_is_replaced(search, undisturbed):
    hole = search.folder / "hole"
    with search.start(pause_s=0.1, silent_s=SILENT_S) as process:
        assert search.wait_for_events(process, BUSY)
        hole.touch()
        line = process.stderr.readline()
        hole.unlink()
        assert ended(process) == ""
    assert "has been at one step for" in line
    assert search.outcome() == undisturbed
