"""A worker that its memory cgroup kills: it comes back, and its trial goes on."""

import contextlib
import os
from pathlib import Path

import pytest

from tests.faults.harness import ended, processes

pytestmark = [pytest.mark.slow, pytest.mark.faults]
LIMIT_BYTES = 512 << 20
PLACES = {"/sys/fs/cgroup/memory": "memory.limit_in_bytes", "/sys/fs/cgroup": "memory.max"}
"""Where groups are made, of version 1 and of version 2, and the file with the limit."""


@pytest.fixture
def small_memory():
    """A cgroup with a limit; what is put into it is killed above it."""
    for place, limit in PLACES.items():
        group = Path(place, f"sp-search-{os.getpid()}")
        try:
            group.mkdir()
            (group / limit).write_text(str(LIMIT_BYTES))
        except OSError:
            with contextlib.suppress(OSError):
                group.rmdir()
            continue
        yield group
        group.rmdir()
        return
    pytest.skip("makes no memory cgroup here")


def test_a_worker_that_is_killed_for_its_memory_comes_back(search, undisturbed, small_memory):
    with search.start(pause_s=0.05) as process:
        assert search.wait_for_events(process, 4)
        (pid,) = processes(process, b"ray::Worker")
        (small_memory / "cgroup.procs").write_text(str(pid))
        (search.folder / "hungry").touch()
        assert search.wait(process, lambda: pid not in processes(process, b"ray::Worker"))
        assert ended(process) == ""
    assert search.outcome() == undisturbed
