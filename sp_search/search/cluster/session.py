"""Ray, joined or started: no dashboard, no telemetry, and on this machine alone unless an address is given."""

from __future__ import annotations

import gc
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from sp_search.errors import ConfigError
from sp_search.search.cluster.ray_private import cluster_place, no_cluster

KNOCK_S = 10.0


@contextmanager
def ray_session(address: str | None, cpus: int) -> Iterator[None]:
    """Join the cluster at an address, or start Ray here with so many CPUs; one that runs already is left running.

    Raises:
        ConfigError: there is no cluster at the address, or it doesn't let us in.
    """
    import ray

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_worker_niceness", "0")  # Ray's 15 would give way to anything that runs
    if ray.is_initialized():
        yield
        return
    if address is None:
        with no_cluster():
            ray.init("local", num_cpus=cpus, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    else:
        _join(address)
    try:
        yield
    finally:
        with _uncollected():
            ray.shutdown()


@contextmanager
def _uncollected() -> Iterator[None]:
    """No thread collects garbage: an object of Ray's that one frees while Ray shuts down ends the process."""
    gc.collect()
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _join(address: str) -> None:
    """Join, having knocked: Ray itself tries an address where nobody answers for a quarter of an hour."""
    import ray
    from ray.exceptions import RayError

    try:
        socket.create_connection(cluster_place(address), timeout=KNOCK_S).close()
        ray.init(address, log_to_driver=False, logging_level="ERROR")
    except (OSError, RuntimeError, ValueError, RayError) as error:
        why = " ".join(str(error).split())
        raise ConfigError(
            f"cluster.address: expected a Ray cluster that this machine is a node of, got {address}: {why:.300}; "
            f"see cluster/README.md"
        ) from error
