"""The interface of a store of runs: seven methods, and two errors that are final. Any other error may pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sp_search.tracking.store.model import WinnerModel
from sp_search.tracking.store.run_updates import MetricPoint, Start
from sp_search.tracking.store.schema import DatasetUse


class RejectedError(Exception):
    """The store will never accept this, however often it is sent."""


class RunMissingError(Exception):
    """The store does not have the run: someone emptied or replaced the store."""


@dataclass(frozen=True)
class RunRef:
    """A run in the store."""

    run_id: str
    status: str  # RUNNING, FINISHED, FAILED, KILLED


class RunStore(Protocol):
    """A place that keeps runs. Repeating a call changes nothing, except for `create_run`."""

    def find_runs(self, experiment: str, identity: Mapping[str, str]) -> dict[int | None, RunRef]:
        """The runs of a study by trial number, None for the parent; empty if the store has none."""

    def create_run(self, start: Start, parent_id: str | None) -> str:
        """Create a run and return its id. Its status is RUNNING."""

    def log(
        self, run_id: str, params: Mapping[str, str], metrics: Sequence[MetricPoint], tags: Mapping[str, str]
    ) -> None:
        """Add points, parameters and tags to a run; those that exist are not added again."""

    def log_datasets(self, run_id: str, datasets: Sequence[DatasetUse]) -> None:
        """Say what data a run uses; what is said already is not said again."""

    def set_status(self, run_id: str, status: str, end_ms: int) -> None:
        """Set the status of a run."""

    def publish(self, run_id: str, folder: Path, model: WinnerModel) -> str:
        """Log the winner of a study as a model, from the files of a folder, and register it.

        Returns a line on its version and the champion; empty where it was there already.
        """

    def upload(self, run_id: str, file: Path, artifact_path: str) -> None:
        """Upload a file into a folder of the run's artifacts; it replaces a file of the same name."""
