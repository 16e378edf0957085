"""A trial's seat in its worker, held by whoever waits for its reports; thin, without torch."""

from __future__ import annotations

import time
from typing import Any, cast

import ray
from ray.exceptions import RayActorError, RayTaskError

from sp_search.types import Params, Report

LOST_WORKER_TRIES = 5
LOST_WORKER_WAIT_S = 2.0


class Seat:
    """Taken at the first report. The worker saves the trial at every report: a lost one costs a stretch."""

    def __init__(
        self, worker: str, number: int, params: Params, *, seed: int, budget: int, folder: str, seen: int = 0
    ) -> None:
        """Hold a seat.

        Args:
            worker: the name of its actor.
            number: of the trial.
            params: what it is.
            seed: of its initialisation and dropout.
            budget: utterances of a full trial.
            folder: where the worker saves its state.
            seen: utterances it has seen; above 0 it goes on from the state in its folder.
        """
        self._worker_name = worker
        self._worker = ray.get_actor(worker)
        self._number = number
        self._terms = (params, seed, budget)
        self._folder = folder
        self._seen = seen
        self.facts: dict[str, Any] | None = None
        """What the trial weighs; None until it has joined."""

    def report(self, until: int) -> Report:
        """The trial's report at so many utterances; a restarted worker is joined again from the last state."""
        for _ in range(LOST_WORKER_TRIES):
            try:
                if self.facts is None:
                    state = self._folder if self._seen else None
                    joined = self._worker.start.remote(self._number, *self._terms, state)
                    self.facts = cast(dict[str, Any], ray.get(joined))
                report = cast(Report, ray.get(self._worker.report.remote(self._number, until, self._folder)))
            except RayTaskError as error:
                if not isinstance(error.cause, KeyError):
                    raise
                self.facts = None
            except RayActorError:
                time.sleep(LOST_WORKER_WAIT_S)
                self.facts = None
            else:
                self._seen = report.utterances_seen
                return report
        raise RuntimeError(f"worker {self._worker_name}: lost {LOST_WORKER_TRIES} times in one report")
