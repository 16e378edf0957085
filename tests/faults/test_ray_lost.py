"""Ray's own processes die under a search: it ends in one line, and the same command goes on."""

import os
import re
import signal

import pytest

from tests.faults.harness import ended, moments, processes

pytestmark = [pytest.mark.slow, pytest.mark.faults]
LINE = r"sp-search: cluster: expected Ray to live, got [^\n]*; the same command goes on from here\n"


def test_a_search_whose_raylet_dies_ends_in_one_line_and_goes_on(search, undisturbed):
    for at in moments("raylet lost", 2, 5.0):
        with search.start(pause_s=0.05) as process:
            assert search.wait_for_events(process, 3 + int(at))
            (pid,) = processes(process, b"raylet/raylet")
            os.kill(pid, signal.SIGKILL)
            said = ended(process, code=2)
        assert re.fullmatch(LINE, said), said
    search.end()
    assert search.outcome() == undisturbed


def test_a_search_outlives_a_lost_control_store_of_ray(search, undisturbed):
    """Within the minute that Ray itself waits for it: at the end of a search that is near its end."""
    with search.start() as process:
        assert search.wait_for_events(process, 8)
        (pid,) = processes(process, b"gcs/gcs_server")
        os.kill(pid, signal.SIGKILL)
        ended(process)
    assert search.outcome() == undisturbed
