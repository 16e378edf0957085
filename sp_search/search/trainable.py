"""A Tune trial: thin, without torch. It asks its worker for the next report and hands it to Tune.

The worker saves a trial's state at every report, so a trial whose worker was lost goes on from its last one. That a
trial has ended its worker hears from the searcher, for Tune keeps an ended trial's process and tells it nothing.
"""

from __future__ import annotations

import time
from typing import Any, cast

import ray
from ray import tune
from ray.exceptions import RayActorError, RayTaskError

from sp_search.search.asha import METRIC, TIME
from sp_search.types import Report

LOST_WORKER_TRIES = 5
LOST_WORKER_WAIT_S = 2.0


class PromptTrial(tune.Trainable):
    """One slot of a worker. Its config names the worker and everything the slot needs."""

    _seen: int
    _facts: dict[str, Any] | None

    def setup(self, config: dict[str, Any]) -> None:
        """Become a trial. Its worker hears of it at its first step.

        Tune hands a waiting trial the first process that falls free, while one made for it may still be starting;
        that one is set up for a trial it never steps, and would hold a slot for ever.
        """
        self._config = config
        self._seen = config["seen"]
        self._worker = ray.get_actor(config["worker"])
        self._facts = None

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Become another trial, which is how processes are reused."""
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """The next report."""
        until = next(point for point in self._config["points"] if point > self._seen)
        report = self._report(until)
        self._seen = report.utterances_seen
        result: dict[str, Any] = {TIME: report.utterances_seen, **report.metrics, "diverged": report.diverged}
        result[METRIC] = report.metrics.get(self._config["metric"], float("nan"))
        result["done"] = bool(report.diverged) or report.utterances_seen >= self._config["budget"]
        result["facts"] = self._facts
        return result

    def _report(self, until: int) -> Report:
        """Ask the worker, joining it first; where it was lost, join its restarted self from the last state."""
        c = self._config
        for _ in range(LOST_WORKER_TRIES):
            try:
                if self._facts is None:
                    state = c["folder"] if self._seen else None
                    joined = self._worker.start.remote(c["number"], c["params"], c["seed"], c["budget"], state)
                    self._facts = cast(dict[str, Any], ray.get(joined))
                return cast(Report, ray.get(self._worker.report.remote(c["number"], until, c["folder"])))
            except RayTaskError as error:
                if not isinstance(error.cause, KeyError):
                    raise
                self._facts = None
            except RayActorError:
                time.sleep(LOST_WORKER_WAIT_S)
                self._facts = None
        raise RuntimeError(f"worker {c['worker']}: lost {LOST_WORKER_TRIES} times in one report")
