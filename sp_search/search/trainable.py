"""A Tune trial: thin, without torch. It asks its worker for the next report and hands it to Tune.

The worker saves a trial's state at every report, so a trial whose worker was lost goes on from its last one. That a
trial has ended its worker hears from the searcher, for Tune keeps an ended trial's process and tells it nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar, cast

import ray
from ray import tune
from ray.exceptions import RayActorError, RayTaskError

from sp_search.search.asha import METRIC, TIME
from sp_search.types import Report

T = TypeVar("T")
LOST_WORKER_TRIES = 5
LOST_WORKER_WAIT_S = 2.0


class PromptTrial(tune.Trainable):
    """One slot of a worker. Its config names the worker and everything the slot needs."""

    _seen: int
    _facts: dict[str, Any]

    def setup(self, config: dict[str, Any]) -> None:
        """Join the worker."""
        self._take_up(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Become another trial, which is how actors are reused."""
        self._take_up(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """The next report."""
        until = next(point for point in self._config["points"] if point > self._seen)
        report = self._insist(lambda: self._report(until))
        self._seen = report.utterances_seen
        result: dict[str, Any] = {TIME: report.utterances_seen, **report.metrics, "diverged": report.diverged}
        result.setdefault(METRIC, float("nan"))
        result["done"] = bool(report.diverged) or report.utterances_seen >= self._config["budget"]
        result["facts"] = self._facts
        return result

    def _take_up(self, config: dict[str, Any]) -> None:
        self._config = config
        self._seen = config["seen"]
        self._worker = ray.get_actor(config["worker"])
        self._facts = self._insist(lambda: self._join(config["state"]))

    def _join(self, state: str | None) -> dict[str, Any]:
        c = self._config
        joining = self._worker.start.remote(c["number"], c["params"], c["seed"], c["budget"], state)
        return cast(dict[str, Any], ray.get(joining))

    def _report(self, until: int) -> Report:
        c = self._config
        return cast(Report, ray.get(self._worker.report.remote(c["number"], until, c["folder"])))

    def _insist(self, call: Callable[[], T]) -> T:
        """Make a call; where the worker was lost, join its restarted self from the last state and call again."""
        for attempt in range(LOST_WORKER_TRIES):
            try:
                if attempt:
                    self._join(self._config["folder"] if self._seen else self._config["state"])
                return call()
            except RayTaskError as error:
                if not isinstance(error.cause, KeyError):
                    raise
            except RayActorError:
                time.sleep(LOST_WORKER_WAIT_S)
        raise RuntimeError(f"worker {self._config['worker']}: lost {LOST_WORKER_TRIES} times in one report")
