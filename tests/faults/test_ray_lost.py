"""Ray's own processes die under a search: it ends in one line, and the same command goes on."""

import os
import re
import signal

import pytest

from tests.faults.harness import ended, moments, processes

pytestmark = [pytest.mark.slow, pytest.mark.faults]
LINE = r"sp-search: cluster: expected Ray to live, got [^\n]*; the same command goes on from here\n"


@pytest.mark.parametrize("name", [b"raylet/raylet", b"gcs/gcs_server"], ids=["raylet", "gcs"])
def test_a_search_whose_ray_dies_ends_in_one_line_and_goes_on(search, undisturbed, name):
    (at,) = moments(f"ray lost {name}", 1, 4.0)
    with search.start(pause_s=0.05) as process:
        assert search.wait_for_events(process, 3 + int(at))
        (pid,) = processes(process, name)
        os.kill(pid, signal.SIGKILL)
        said = ended(process, code=2)
    assert re.fullmatch(LINE, said), said
    search.end()
    assert search.outcome() == undisturbed
