"""The baseline: `tune.Tuner` as its guide has it, OptunaSearch, ASHAScheduler and one function per trial.

`python -m sp_search.bench.idle.plain_tune '{"trials": 24, ...}'`, as `bench/idle/slots.py` calls it, runs a function
that computes nothing. `bench/peft/plain_tune.py` runs one that trains a prompt through PEFT.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch

from sp_search.bench.idle.slots import IdleSearch
from sp_search.bench.idle.trainer import curve
from sp_search.search.base.rungs import report_points


def main(order: str) -> None:
    """Tune, and print the seconds a trial takes behind the first one's end."""
    asked = IdleSearch(**json.loads(order))
    points = report_points(asked.budget, asked.grace, asked.reduction_factor)
    _, ends = tuned(
        partial(idle, asked.budget, points),
        {"ceiling": tune.uniform(0.1, 0.9)},
        metric="accuracy",
        mode="max",
        trials=asked.trials,
        budget=asked.budget,
        grace=asked.grace,
        reduction_factor=asked.reduction_factor,
    )
    print(json.dumps({"s_per_trial": (ends[-1] - ends[0]) / (len(ends) - 1)}))


def tuned(
    trial: Callable[[dict[str, Any]], None],
    space: dict[str, Any],
    *,
    metric: str,
    mode: Literal["min", "max"],
    trials: int,
    budget: int,
    grace: int,
    reduction_factor: int,
    cpus: float = 1,
    gpus: float = 0,
) -> tuple[tune.ResultGrid, list[float]]:
    """What trials report, and when each ended (monotonic seconds).

    Args:
        trial: trains with settings of the space, and reports `metric` and `seen`.
        space: of the settings, as Tune takes it.
        metric: that decides, and `mode` how.
        mode: see there.
        trials: how many.
        budget: the largest `seen`, `grace` that of the first rung.
        grace: see there.
        reduction_factor: one trial in so many goes on from a rung.
        cpus: of a trial.
        gpus: of a trial.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(address="local", log_to_driver=False, logging_level="ERROR")
    ends = _Ends()
    with tempfile.TemporaryDirectory() as folder:
        found = tune.Tuner(
            tune.with_resources(trial, {"cpu": cpus, "gpu": gpus}),
            param_space=space,
            tune_config=tune.TuneConfig(
                metric=metric,
                mode=mode,
                num_samples=trials,
                search_alg=OptunaSearch(),
                scheduler=ASHAScheduler(
                    time_attr="seen", max_t=budget, grace_period=grace, reduction_factor=reduction_factor
                ),
            ),
            run_config=tune.RunConfig(storage_path=folder, verbose=0, callbacks=[ends]),
        ).fit()
    ray.shutdown()
    return found, ends.at


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
