"""What is taken from Ray's inside, where it has no public way; checked on Ray 2.60.

- Ray that listens on 127.0.0.1 alone: `ray.init(_node_ip_address=...)` is private as well, and a loopback address
  given there is replaced with the machine's own, open to all who reach it. So Ray is told that it can't be a cluster,
  as it tells itself on Windows and macOS.
- Who handles SIGTERM: `ray.init` puts a handler of its own there, which ends the program wherever it is, and its C++
  another one, which Python does not know of and which prints a stack first.
- Where the cluster is that `auto` or RAY_ADDRESS names: `ray.init` itself tries an address where nobody answers for a
  quarter of an hour, so the address is looked up and knocked at first.
- What Ray's processes print here, also with `log_to_driver=False`: on stdout, in yellow, a line for every task of a
  worker that ends. A search says itself what it does about a lost worker.
- Where Ray keeps its sockets: Linux takes no more than 107 bytes as the path of one, and Ray says so only in the
  traceback of a search that has begun.

`tests/search/cluster/test_ray_private.py` names the part that a new version lacks.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from sp_search.message import say

CHECKED = "2.60"
NOISE = ("retries remaining", "worker died or was killed", "Raylet is terminated", "has been marked dead")
"""In messages on tasks of a worker that was lost or ended, and on lost nodes: the search says that itself."""
LONGEST_LINE = 500
"""Characters of a message; some of Ray's hold pages of a log."""
SOCKET_BYTES = 107
"""Of the path of a socket."""


@contextmanager
def no_cluster() -> Iterator[None]:
    """Ray that starts meanwhile listens on 127.0.0.1 alone."""
    from ray._private import ray_constants

    switch = ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR  # for the processes that Ray starts
    before = os.environ.get(switch), ray_constants.ENABLE_RAY_CLUSTER  # the constant is for this one
    os.environ[switch], ray_constants.ENABLE_RAY_CLUSTER = "0", False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before[1]
        if before[0] is None:
            del os.environ[switch]
        else:
            os.environ[switch] = before[0]


@contextmanager
def own_signals() -> Iterator[None]:
    """Ray that starts meanwhile leaves SIGTERM to this program, and its processes ignore SIGHUP and SIGUSR1.

    A terminal that closes, and SLURM, send their signals to all processes of a job. Those of Ray must outlive them,
    so that trials can be saved.
    """
    from ray._private import utils

    set_handler, utils.set_sigterm_handler = utils.set_sigterm_handler, lambda _: None
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP, signal.SIGUSR1})  # Ray itself blocks SIGINT
    try:
        yield
    finally:
        utils.set_sigterm_handler = set_handler
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))  # over that of Ray's C++


@contextmanager
def without_noise() -> Iterator[None]:
    """Ray's messages go to stderr, a line each, but those on tasks of a worker that ends go nowhere."""
    from ray._private import worker

    def tell(data: Mapping[str, Any], *_: object, **__: object) -> None:
        for line in data.get("lines", ()):
            if not any(noise in line for noise in NOISE):
                say(f"ray: {' '.join(str(line).split()):.{LONGEST_LINE}}")

    before, worker.print_to_stdstream = worker.print_to_stdstream, tell
    try:
        yield
    finally:
        worker.print_to_stdstream = before


def temp_folder() -> tuple[str, str]:
    """The variable that names the folder below which Ray keeps its files, and the folder."""
    name = "RAY_TMPDIR" if "RAY_TMPDIR" in os.environ else "TMPDIR"
    return name, os.environ.get(name, "/tmp")


def longest_temp_folder() -> int:
    """Bytes that this folder's path may have, for the sockets below it."""
    below = f"/ray/session_{datetime.now():%Y-%m-%d_%H-%M-%S_%f}_{os.getpid()}/sockets/plasma_store"
    return SOCKET_BYTES - len(below)


def cluster_place(address: str) -> tuple[str, int]:
    """Host and port of the cluster that an address names, `auto` among them.

    Raises:
        ValueError: it names none.
        ConnectionError: there is none that `auto` could find.
    """
    from ray._private.services import canonicalize_bootstrap_address

    host, _, port = str(canonicalize_bootstrap_address(address)).rpartition(":")
    return host.strip("[]"), int(port)
