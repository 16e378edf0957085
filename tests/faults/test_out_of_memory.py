"""A worker that its memory cgroup kills: it comes back, and its trial goes on."""

import pytest

from tests.faults.harness import ended, processes
from tests.memory_cgroup import memory_cgroup

pytestmark = [pytest.mark.slow, pytest.mark.faults]
LIMIT_BYTES = 512 << 20


def test_a_worker_that_is_killed_for_its_memory_comes_back(search, undisturbed):
    with memory_cgroup(LIMIT_BYTES) as members, search.start(pause_s=0.05) as process:
        assert search.wait_for_events(process, 4)
        (pid,) = processes(process, b"ray::Worker")
        members.write_text(str(pid))
        (search.folder / "hungry").touch()
        assert search.wait(process, lambda: pid not in processes(process, b"ray::Worker"))
        ended(process)
    assert search.outcome() == undisturbed
