"""Ray, joined or started: no dashboard, no telemetry, and on this machine alone unless an address is given."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def ray_session(address: str | None, cpus: int) -> Iterator[None]:
    """Join the cluster at an address, or start Ray here with so many CPUs; one that runs already is left running."""
    import ray

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_worker_niceness", "0")  # Ray's 15 would give way to anything that runs
    if ray.is_initialized():
        yield
        return
    here: dict[str, Any] = {"include_dashboard": False, "_node_ip_address": "127.0.0.1", "num_cpus": cpus}
    ray.init(address or "local", **({} if address else here), log_to_driver=False, logging_level="ERROR")
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
