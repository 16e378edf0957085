"""Train the papers' setting to its early stop; prints one JSON line.

It uses fairseq's own decoder in float32, or with baseline=engine the engine in engine.dtype, which is faster and
gives the same prompt up to rounding. stderr gets one line per epoch. The prompt of the best epoch is evaluated as in
a search. valid_loss is in nats per scored position. seconds include training and validation, utterances_per_s
training alone. It uses all cores, as a search with its workers does; engine.threads=1 uses one. Run again, it
continues after its last whole epoch.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass

import torch

from sp_search.bench.papers.training import train_to_early_stop
from sp_search.bench.speed.timing import baseline_trial
from sp_search.cli.settings.reads import OF_RECIPE
from sp_search.cli.wiring.factories import only_trial, recipe_of
from sp_search.config import Settings, below_one, refuse
from sp_search.host import cores

READS = (*OF_RECIPE, "space", "study", "runs")
EXAMPLE = "sp-search bench papers baseline=engine train_utterances=6000"
STARTS_FROM = ("space=paper", "batch_size=32")


@dataclass(frozen=True, kw_only=True)
class BenchPapersSettings(Settings):
    """The baseline, and when training ends."""

    baseline: str = "fairseq"  # whose forward and backward pass: fairseq or engine
    patience: int = 5  # epochs without a better validation loss
    max_epochs: int = 40  # of the training split

    def __post_init__(self) -> None:
        super().__post_init__()
        faults = below_one(self, "patience", "max_epochs")
        if self.baseline not in ("fairseq", "engine"):
            faults.append(f"baseline: expected fairseq or engine, got {self.baseline!r}")
        refuse(faults)


def run(config: BenchPapersSettings) -> int:
    """Train, and print the results."""
    recipe = recipe_of(config)
    threads = config.engine.threads or cores()
    torch.set_num_threads(threads)
    lm, data = recipe.data()
    params = only_trial(config, lm.architecture)
    budget = config.max_epochs * len(data.train)
    which = {"through": config.baseline, "instead": "baseline=engine"}
    trial = baseline_trial(recipe, lm, data, params, budget=budget, **which)
    done = train_to_early_stop(
        trial,
        config.runs / f"{config.study}-papers-{config.baseline}",
        patience=config.patience,
        max_epochs=config.max_epochs,
        tell=lambda line: print(line, file=sys.stderr, flush=True),
    )
    result = {
        "baseline": config.baseline,
        "dtype": str(trial.dtype).removeprefix("torch."),
        "lm": config.lm.name,
        "data": config.data.name,
        "train_utterances": len(data.train),
        "params": params,
        "batch_size": recipe.batch_size,
        "threads": threads,
        "epochs": len(done.valid_losses),
        "best_epoch": done.best_epoch,
        "valid_loss": done.valid_losses[done.best_epoch - 1],
        "valid": trial.metrics("valid"),
        "test": trial.metrics("test"),
        "seconds": round(done.train_s + done.valid_s, 1),
        "utterances_per_s": round(trial.slot.utterances_seen / done.train_s, 1),
    }
    print(json.dumps(result))
    return 0
