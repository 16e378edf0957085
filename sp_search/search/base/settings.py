"""The size of a search and the resources it runs on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sp_search.search.base.choices import Choice
from sp_search.search.base.protocol import TrialRequest
from sp_search.search.base.rungs import interim_points, report_points
from sp_search.search.base.spending import Spending
from sp_search.types import Params

KEPT = 5
"""How many of the best trials that reached their full budget keep their states on disk, and may answer."""


@dataclass(frozen=True, kw_only=True)
class SearchSettings:
    """A search, as the driver takes it. Lengths are training utterances seen."""

    study: str
    runs: Path  # a folder that every node sees
    trials: int  # in total, over all starts
    budget: int  # of a full trial
    grace: int  # before the first rung
    reduction_factor: int  # 2 or more
    interim_cost: (
        float  # of measuring valid between two reports, in training utterances; inf = it is not measured there
    )
    metric: str  # of a trial's report, that decides, more being better: valid_accuracy
    sampler: Choice  # who draws settings
    pruner: Choice  # who stops trials
    seed: int
    confirm_top: int  # settings that race under fresh seeds
    confirm_seeds: int  # runs of each at most
    final_seeds: int  # fresh seeds that the winner is trained under at the end; 0 = the confirm runs are the end
    final_budget: int  # of each of these trainings
    most_members: int  # states that answer together at most
    smallest: bool  # export the smallest answer within one standard error of the best
    first_trials: tuple[Params, ...]  # settings to try first, known to be good
    retries: int  # how often a trial whose own run raised is tried again before it has failed
    begun_as: str  # fingerprint of what the study was begun as, `study.contract`
    workers: int  # one a device, at the start
    most_workers: int | None  # on a cluster whose nodes come and go; None = as many as fit
    slots: int  # trials in flight on a worker
    cpus_per_worker: float
    gpus_per_worker: float
    spending: Spending  # limits, over all starts, at which the search ends in order
    save_every_s: float  # a live trial is saved this long after its last save, beside every report
    ray_address: str | None  # None starts Ray on this machine

    @property
    def folder(self) -> Path:
        """The folder of the study."""
        return self.runs / self.study

    @property
    def in_flight(self) -> int:
        """How many trials run at the same time."""
        return self.workers * self.slots

    @property
    def staged(self) -> int:
        """How many trials are prepared ahead."""
        return staged(self.in_flight)

    def trial_folder(self, number: int) -> Path:
        """The folder of a trial's saved state."""
        return self.folder / "trials" / str(number)

    @property
    def courses(self) -> Path:
        """The folder in which every worker records its calls, in order."""
        return self.folder / "workers"

    def trial_log(self, number: int) -> Path:
        """The file in which a worker writes the traceback of a failed run."""
        return self.folder / "logs" / f"trial-{number}.log"

    def trial_folders(self) -> dict[int, Path]:
        """The existing folders of trials and confirm runs, by number. Other files there are left alone."""
        trials = self.folder / "trials"
        found = trials.iterdir() if trials.is_dir() else ()
        return {int(path.name): path for path in found if path.name.isdecimal() and path.is_dir()}

    def request(
        self, number: int, params: Params, seed: int, position: int = 0, *, budget: int | None = None
    ) -> TrialRequest:
        """What a worker is asked of a trial.

        Args:
            number: of the trial.
            params: its setting.
            seed: of its initialisation and dropout.
            position: of the stream, where a fresh worker begins.
            budget: of a full run; None is that of the search's trials.
        """
        budget = budget or self.budget
        points = report_points(budget, self.grace, self.reduction_factor)
        return TrialRequest(
            number=number,
            params=dict(params),
            seed=seed,
            budget=budget,
            points=points,
            interim=interim_points(points, self.interim_cost),
            folder=str(self.trial_folder(number)),
            study=self.begun_as,
            position=position,
        )


def staged(in_flight: int) -> int:
    """How many trials are prepared ahead, so that a free slot is filled at once.

    0 if there is only one slot. Then each trial is drawn when the results of all earlier ones are known, and a search
    with one seed is the same every time, even if it was killed and continued.
    """
    return in_flight // 2
