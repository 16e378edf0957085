"""How large a search is, and what it runs on."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sp_search.search.schedule import report_points
from sp_search.types import Params

Leave = Callable[[int], object]
"""Frees the slot of a trial's number in its worker, without waiting for it."""
RAY_STEPS = 10_000
"""Ray counts resources in ten-thousandths."""


@dataclass(frozen=True, kw_only=True)
class SearchSettings:
    """A search, as the driver takes it. Lengths are training utterances seen."""

    study: str
    runs: Path  # a folder that every node sees
    trials: int  # in total, over all starts
    budget: int  # of a full trial
    grace: int  # before the first rung
    reduction_factor: int  # 2 or more
    metric: str  # of a trial's report, that decides, more being better: valid_accuracy
    seed: int
    confirm_top: int  # settings that are repeated
    confirm_seeds: int  # fresh seeds for each
    first_trials: tuple[Params, ...]  # settings to try first, known to be good
    workers: int  # one a device
    slots: int  # trials in flight on a worker
    cpus_per_worker: float
    gpus_per_worker: float
    ray_address: str | None  # None starts Ray on this machine

    @property
    def folder(self) -> Path:
        """Where the study keeps everything."""
        return self.runs / self.study

    @property
    def points(self) -> tuple[int, ...]:
        """When a trial reports."""
        return report_points(self.budget, self.grace, self.reduction_factor)

    @property
    def in_flight(self) -> int:
        """Trials at work at once."""
        return self.workers * self.slots

    @property
    def cpus_per_trial(self) -> float:
        """What a trial reserves, though it only waits for its worker.

        Ray is started here with one CPU more than the workers take, and all trials in flight just fit in it.
        """
        return 0.001 if self.ray_address else math.floor(RAY_STEPS / self.in_flight) / RAY_STEPS

    @property
    def staged(self) -> int:
        """Trials made ready ahead: Tune hands a stopped trial's process on only to one that is already waiting.

        On a cluster of others nothing keeps a waiting trial from starting, so none is made ahead.
        """
        return 1 if self.ray_address else max(1, self.in_flight // 2)

    def trial_folder(self, number: int) -> Path:
        """Where a trial's state is saved."""
        return self.folder / "trials" / str(number)
