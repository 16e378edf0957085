"""What sending needs of a store of runs: five verbs, and two ways to say no. Anything else it raises may pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sp_search.tracking.store.run_updates import MetricPoint, Start


class RejectedError(Exception):
    """The store will never take this, however often it is sent."""


class RunMissingError(Exception):
    """The store does not know the run: someone emptied or replaced it."""


@dataclass(frozen=True)
class RunRef:
    """A run as the store has it."""

    run_id: str
    status: str  # RUNNING, FINISHED, FAILED, KILLED


class RunStore(Protocol):
    """A place that keeps runs. Everything but `create_run` may be repeated without effect."""

    def find_runs(self, experiment: str, identity: Mapping[str, str]) -> dict[int | None, RunRef]:
        """The runs of a study by trial, None for the parent; empty where the store has none of it."""

    def create_run(self, start: Start, parent_id: str | None) -> str:
        """Make a run and give its id; its status is RUNNING."""

    def log(
        self, run_id: str, params: Mapping[str, str], metrics: Sequence[MetricPoint], tags: Mapping[str, str]
    ) -> None:
        """Add to a run; what it has already is not added again."""

    def set_status(self, run_id: str, status: str, end_ms: int) -> None:
        """Give a run a status."""

    def upload(self, run_id: str, file: Path, artifact_path: str) -> None:
        """Put a file into a folder of the run's files, in place of one of its name."""
