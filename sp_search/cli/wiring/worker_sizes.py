"""Whether the workers of a search can do what it asks of them: else Ray, or a trial, would wait without a word."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from sp_search.cli.wiring.factories import gpus_per_worker, slots_per_worker, worker_count
from sp_search.config import Settings
from sp_search.errors import ConfigError
from sp_search.host import memory

LEAST_WORKER_BYTES = 400 << 20
"""A worker takes more than that before it has read an LM."""
MOST_SLOTS = 1024
"""Trials in flight on a worker at most: each has a thread there."""
LONGEST_CHUNK = 100_000
"""Utterances that a trial is trained on in one go at most, unless its whole budget is more."""


def check_workers(config: Settings) -> None:
    """Check the sizes of every worker, and this machine's GPUs and memory for all of them.

    Raises:
        ConfigError: a size is beyond all use, there are fewer GPUs, or there is not enough memory to start so many
            processes; all of it is told. A joined cluster has checks of its own for the last two.
    """
    faults = [*_size_faults(config), *([] if config.cluster.address else _room_faults(config))]
    if faults:
        raise ConfigError("; ".join(faults))


def _size_faults(config: Settings) -> Iterator[str]:
    schedule, slots = config.schedule, slots_per_worker(config)
    if slots > MOST_SLOTS:
        yield f"cluster.slots: expected at most {MOST_SLOTS}, got {slots}"
    if schedule.chunk_updates * schedule.batch_size > max(schedule.budget, LONGEST_CHUNK):
        yield (
            f"schedule.chunk_updates: expected chunks of at most {LONGEST_CHUNK:,} utterances, behind which a trial "
            f"reports, got {schedule.chunk_updates} updates of {schedule.batch_size}"
        )


def _room_faults(config: Settings) -> Iterator[str]:
    workers, gpus, there = worker_count(config), gpus_per_worker(config), torch.cuda.device_count()
    is_chosen = config.cluster.gpus_per_worker is not None
    if workers * gpus > there and (there or is_chosen):  # that there is no GPU at all is told of engine.device
        yield (
            f"cluster.gpus_per_worker: expected at most the {there} GPUs of this machine for all workers together, "
            f"got {workers} x {gpus:g}; say cluster.workers={max(1, int(there // gpus))}, or fewer GPUs for each"
        )
    if workers > (most := max(1, memory() // LEAST_WORKER_BYTES)):
        yield (
            f"cluster.workers: expected at most {most}, for which this machine has the memory, got {workers}; one "
            f"worker trains several trials at once (cluster.slots)"
        )
