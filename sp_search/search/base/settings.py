"""How large a search is, and what it runs on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sp_search.search.base.protocol import TrialRequest
from sp_search.search.base.rungs import report_points
from sp_search.types import Params


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
    def staged(self) -> int:
        """Trials made ready ahead, so that a slot that falls free is taken at once."""
        return max(1, self.in_flight // 2)

    def trial_folder(self, number: int) -> Path:
        """Where a trial's state is saved."""
        return self.folder / "trials" / str(number)

    def trial_folders(self) -> list[Path]:
        """Those that there are, of trials and confirm runs."""
        trials = self.folder / "trials"
        return list(trials.iterdir()) if trials.exists() else []

    def request(self, number: int, params: Params, seed: int) -> TrialRequest:
        """What a worker is told of a trial."""
        return TrialRequest(
            number=number,
            params=dict(params),
            seed=seed,
            budget=self.budget,
            points=self.points,
            folder=str(self.trial_folder(number)),
        )
