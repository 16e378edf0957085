"""A Tune trial: thin, without torch. It asks its worker for the next report and hands it to Tune.

That a trial has ended its worker hears from the searcher: Tune keeps an ended trial's process and tells it nothing.
"""

from __future__ import annotations

from typing import Any

from ray import tune

from sp_search.search.asha import METRIC, NUMBER, TIME
from sp_search.search.seat import Seat


class PromptTrial(tune.Trainable):
    """One slot of a worker. Its config names the worker and everything the slot needs."""

    _seen: int
    _seat: Seat

    def setup(self, config: dict[str, Any]) -> None:
        """Become a trial. Its worker hears of it at its first step.

        Tune hands a waiting trial the first process that falls free, while one made for it may still be starting;
        that one is set up for a trial it never steps, and would hold a slot for ever.
        """
        self._config = config
        self._seen = config["seen"]
        terms = {name: config[name] for name in ("seed", "budget", "folder", "seen")}
        self._seat = Seat(config["worker"], config[NUMBER], config["params"], **terms)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Become another trial, which is how processes are reused."""
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """The next report."""
        until = next(point for point in self._config["points"] if point > self._seen)
        report = self._seat.report(until)
        self._seen = report.utterances_seen
        result: dict[str, Any] = {TIME: report.utterances_seen, **report.metrics, "diverged": report.diverged}
        result[METRIC] = report.metrics.get(self._config["metric"], float("nan"))
        result["done"] = bool(report.diverged) or report.utterances_seen >= self._config["budget"]
        result["facts"] = self._seat.facts
        return result
