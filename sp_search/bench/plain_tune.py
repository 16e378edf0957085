"""The baseline: `tune.Tuner` as its guide has it, OptunaSearch, ASHAScheduler, a function that computes nothing.

`python -m sp_search.bench.plain_tune '{"trials": 24, ...}'`, as `bench/slots.py` calls it.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from functools import partial
from typing import Any

import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch

from sp_search.bench.idle_trainer import curve
from sp_search.bench.slots import IdleSearch
from sp_search.search.base.rungs import report_points


def main(order: str) -> None:
    """Tune, and print the seconds a trial takes behind the first one's end."""
    asked = IdleSearch(**json.loads(order))
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(address="local", log_to_driver=False, logging_level="ERROR")
    ends = _Ends()
    with tempfile.TemporaryDirectory() as folder:
        tune.Tuner(
            partial(idle, asked.budget, report_points(asked.budget, asked.grace, asked.reduction_factor)),
            param_space={"ceiling": tune.uniform(0.1, 0.9)},
            tune_config=tune.TuneConfig(
                metric="accuracy",
                mode="max",
                num_samples=asked.trials,
                search_alg=OptunaSearch(),
                scheduler=ASHAScheduler(
                    time_attr="seen",
                    max_t=asked.budget,
                    grace_period=asked.grace,
                    reduction_factor=asked.reduction_factor,
                ),
            ),
            run_config=tune.RunConfig(storage_path=folder, verbose=0, callbacks=[ends]),
        ).fit()
    ray.shutdown()
    print(json.dumps({"s_per_trial": (ends.at[-1] - ends.at[0]) / (len(ends.at) - 1)}))


def idle(budget: int, points: tuple[int, ...], config: dict[str, Any]) -> None:
    """A trial that trains nothing."""
    for seen in points:
        tune.report({"seen": seen, "accuracy": curve(config["ceiling"], seen, budget // 3)})


class _Ends(tune.Callback):
    """When trials ended."""

    def __init__(self) -> None:
        self.at: list[float] = []

    def on_trial_complete(self, **info: Any) -> None:
        """One more."""
        self.at.append(time.monotonic())


if __name__ == "__main__":
    main(sys.argv[1])
