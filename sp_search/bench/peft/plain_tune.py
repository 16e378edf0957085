"""A search as a team would write it around PEFT: a plain `tune.Tuner`, a function per trial, one trial a worker.

A trial loads LM and corpus, trains, and reports the loss on valid, in one forward pass: kinder than answers would be.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from ray import tune

from sp_search.bench.idle.plain_tune import tuned
from sp_search.bench.peft.trial import PeftRecipe
from sp_search.bench.speed.timing import SEED
from sp_search.search.base.rungs import report_points
from sp_search.types import Params

SPREAD = 5.0
"""The rate is drawn from a fifth of the trial's to five times it."""


@dataclass(frozen=True, kw_only=True)
class PeftSearch:
    """What the plain search is told."""

    recipe: PeftRecipe
    params: Params  # of every trial but for its rate
    trials: int
    budget: int  # utterances of a full trial
    grace: int  # before the first rung
    reduction_factor: int
    valid_sample: int  # utterances of valid at a report

    @property
    def rates(self) -> tuple[float, float]:
        """Between which the learning rate is drawn."""
        return float(self.params["lr"]) / SPREAD, float(self.params["lr"]) * SPREAD


def plain_search(asked: PeftSearch) -> dict[str, int]:
    """Search; how many utterances the trials saw, and how many trials came to the full budget."""
    found, _ = tuned(
        partial(trial, asked),
        {"lr": tune.loguniform(*asked.rates)},
        metric="loss",
        mode="min",
        trials=asked.trials,
        budget=asked.budget,
        grace=asked.grace,
        reduction_factor=asked.reduction_factor,
        cpus=asked.recipe.threads,
        gpus=float(asked.recipe.device == "cuda"),
    )
    seen = [result.metrics["seen"] for result in found]
    return {"utterances": sum(seen), "complete": sum(count >= asked.budget for count in seen)}


def trial(asked: PeftSearch, config: dict[str, Any]) -> None:
    """Train one prompt, and report at the points at which a trial of `sp-search search` reports."""
    torch.set_num_threads(asked.recipe.threads)
    training = asked.recipe({**asked.params, "lr": config["lr"]}, SEED)
    seen = position = 0
    for point in report_points(asked.budget, asked.grace, asked.reduction_factor):
        while seen < point:
            seen += len(training.stream.batch(position))
            training.update(position)
            position += 1
        tune.report({"seen": seen, "loss": training.valid_loss(asked.valid_sample)})
