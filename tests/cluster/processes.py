"""Processes of a cluster that a test started in a session of its own."""

import os
import signal
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

LIMIT_S = 240


@contextmanager
def session(command, **options):
    """A command and its output's pipes; what is left of its session at the end, as after a failed test, is killed."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(command, text=True, start_new_session=True, **pipes | options)
    try:
        yield process
    finally:
        for pid in family(process.pid):
            os.kill(pid, signal.SIGKILL)


def wait_for(condition, process):
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.05)


def ends(session, within_s=10):
    """Whether all processes of a session end soon; Ray's own are not waited for by who ended them."""
    deadline = time.monotonic() + within_s
    while family(session) and time.monotonic() < deadline:
        time.sleep(0.1)
    return family(session) == {}


def family(session):
    """Living processes of a session: pid -> pid of the parent, command line."""
    found = {}
    for folder in Path("/proc").iterdir():
        try:
            name = (folder / "cmdline").read_bytes()
            state, parent, _, of_session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
        except (OSError, ValueError):
            continue
        if int(of_session) == session and state != "Z":
            found[int(folder.name)] = (int(parent), name)
    return found
