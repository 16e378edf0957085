"""Joins a running Ray cluster first, because the defaults of a search depend on the size of the cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeVar

from sp_search.config import Settings
from sp_search.search.cluster.nodes import nodes, share
from sp_search.search.cluster.session import ray_session

S = TypeVar("S", bound=Settings)


@contextmanager
def joined(config: S) -> Iterator[S]:
    """The settings with the device and the workers that fit on the cluster, which stays joined inside the block.

    Without an address the settings stay as they were, because this machine is the cluster.

    Raises:
        ConfigError: there is no such cluster, nodes are missing, or it has no room for the workers.
    """
    cluster, device = config.cluster, config.engine.device
    if cluster.address is None:
        yield config
        return
    with ray_session(cluster.address, 0):
        there = nodes(cluster.nodes)
        gpus = cluster.gpus_per_worker
        if gpus is None:
            gpus = float(device == "cuda" or (device == "auto" and any(node.gpus for node in there)))
        if device == "auto":
            device = "cuda" if gpus else "cpu"
        each = share(there, cluster.workers, cluster.cpus_per_worker, gpus)
        sized = replace(cluster, workers=each.workers, cpus_per_worker=each.cpus, gpus_per_worker=each.gpus)
        yield replace(config, cluster=sized, engine=replace(config.engine, device=device))
