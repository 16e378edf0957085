"""A real cgroup with little memory, where this user may make one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

PLACES = {"/sys/fs/cgroup/memory": "memory.limit_in_bytes", "/sys/fs/cgroup": "memory.max"}
"""Where groups are made, of version 1 and of version 2, and the file with the limit."""


@contextmanager
def memory_cgroup(limit_bytes: int) -> Iterator[Path]:
    """The file that takes pids; skips the test where there is none."""
    for place, limit in PLACES.items():
        group = Path(place, f"sp-search-{os.getpid()}")
        try:
            group.mkdir()
            (group / limit).write_text(str(limit_bytes))
        except OSError:
            with suppress(OSError):
                group.rmdir()
            continue
        try:
            yield group / "cgroup.procs"
        finally:
            group.rmdir()
        return
    pytest.skip("makes no memory cgroup here")
