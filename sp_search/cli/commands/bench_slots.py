"""Measure the cost of a trial apart from its training; prints one JSON line.

It runs a search with trials that do nothing through the whole machinery (study, Tune, ASHA, tracking, confirm runs),
and a plain tune.Tuner with OptunaSearch, ASHAScheduler and one function per trial. Both are timed from start to end,
including imports and the start of Ray. ratio is our trials per second divided by theirs. plain_trials=0 gives the
plain Tuner as many trials as the search; with fewer, its time is extrapolated.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from sp_search.bench.idle.slots import IdleSearch, measure
from sp_search.cli.wiring.factories import slots_per_worker, worker_count
from sp_search.config import Settings, refuse

READS = (
    "schedule.trials",
    "schedule.budget",
    "schedule.grace",
    "schedule.reduction_factor",
    "schedule.confirm",
    "cluster.workers",
    "cluster.slots",
    "engine.device",
)
EXAMPLE = "sp-search bench slots trials=128"
STARTS_FROM = ("trials=256", "cluster.slots=32")


@dataclass(frozen=True, kw_only=True)
class BenchSlotsSettings(Settings):
    """What to measure."""

    plain_trials: int = 24  # of the plain Tuner, 2 or more; 0 = as many as the search has

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.plain_trials < 2 and self.plain_trials != 0:
            refuse([f"plain_trials: expected 0, or 2 or more, got {self.plain_trials}"])


def run(config: BenchSlotsSettings) -> int:
    """Measure, and print the line."""
    schedule = config.schedule
    search = IdleSearch(
        trials=schedule.trials,
        workers=worker_count(config),
        slots=slots_per_worker(config),
        budget=schedule.budget,
        grace=schedule.grace,
        reduction_factor=schedule.reduction_factor,
        confirm_top=schedule.confirm.top,
        confirm_seeds=schedule.confirm.seeds,
    )
    print(json.dumps(measure(search, config.plain_trials or schedule.trials)))
    return 0
