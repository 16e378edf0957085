"""Whether this machine has what the workers of a search ask of it: Ray would wait for it without a word."""

from __future__ import annotations

import torch

from sp_search.cli.wiring.factories import worker_count
from sp_search.config import Settings
from sp_search.errors import ConfigError
from sp_search.host import memory

LEAST_WORKER_BYTES = 400 << 20
"""A worker takes more than that before it has read an LM."""


def check_machine(config: Settings) -> None:
    """Check GPUs and memory for all workers; a joined cluster has checks of its own.

    Raises:
        ConfigError: there are fewer GPUs, or not enough memory to start so many processes; both are told.
    """
    if config.cluster.address is not None:
        return
    workers, gpus = worker_count(config), config.cluster.gpus_per_worker or 0.0
    faults = []
    if workers * gpus > (there := torch.cuda.device_count()):
        faults.append(
            f"cluster.gpus_per_worker: expected at most the {there} GPUs of this machine for all workers together, "
            f"got {workers} x {gpus:g}"
        )
    if workers > (most := max(1, memory() // LEAST_WORKER_BYTES)):
        faults.append(
            f"cluster.workers: expected at most {most}, for which this machine has the memory, got {workers}; one "
            f"worker trains several trials at once (cluster.slots)"
        )
    if faults:
        raise ConfigError("; ".join(faults))
