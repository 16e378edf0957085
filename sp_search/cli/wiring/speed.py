"""How fast a worker of this machine is, and how large a trial's state: some updates of some trials, timed."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from sp_search.engine.runtime.device import pick_device
from sp_search.engine.train.factory import TrainerSpec
from sp_search.engine.train.trainer import MultiTrialTrainer
from sp_search.engine.train.zero_copy import SharedParts
from sp_search.engine.trial.task_data import TaskData
from sp_search.search.base.rungs import measuring_cost
from sp_search.search.base.settings import SearchSettings
from sp_search.search.base.space import Space
from sp_search.search.estimate.cost_estimate import amounts, draws
from sp_search.search.estimate.played import Pace
from sp_search.search.estimate.time_estimate import Speed
from sp_search.types import Params

UPDATES, SLOW_S = 8, 2.0
"""Updates that are timed, of each pack and of each of its trials alone; only one where one takes so long."""

BUDGET = 1 << 40
"""Of the trials that are timed: none comes to its end."""


@dataclass(frozen=True)
class Measured:
    """What the timed steps say."""

    speed: Speed
    state_bytes: int  # of a trial such as those that win, the mean
    cache_bytes: int  # that a worker takes at most for states of the LM that no prompt changes


def measured(recipe: TrainerSpec, parts: SharedParts, settings: SearchSettings, space: Space) -> Measured:
    """Time trials drawn from the space, and such as may win: the first trials.

    Args:
        recipe: of a worker's trainer.
        parts: of the recipe.
        settings: of the search.
        space: to draw from.
    """
    threads = torch.get_num_threads()
    try:
        device = pick_device(recipe.device)
        trainer = recipe(parts)
        cache_bytes = trainer.sizes()["source_cache_bytes"]
        drawn = _timed(trainer, draws(space, settings.slots, settings.seed), device)
        del trainer  # and its cache, before the next one has its own
        racing = min(settings.confirm_top, settings.trials)
        first = settings.first_trials[:racing]
        won = draws(space, len(first), settings.seed, given=first)
        best = _timed(recipe(parts), won, device) if won else drawn
    finally:
        torch.set_num_threads(threads)
    epoch, stream = len(parts.data.train), amounts(settings).search / settings.in_flight
    is_new = min(1.0, epoch / stream)  # of the batches of the trials, that have sources not seen before
    pace = Pace(is_new * drawn.cold.fixed_s + (1 - is_new) * drawn.warm.fixed_s, drawn.warm.each_s)
    speed = Speed(pace, best.warm, split_costs(parts.data, recipe), best.weights if won else ())
    return Measured(speed, best.state_bytes, cache_bytes)


def split_costs(data: TaskData, recipe: TrainerSpec) -> tuple[float, float, float]:
    """What measuring a run on valid's sample, valid and test costs, in training utterances."""
    sizes = {name: len(split) for name, split in data.corpus.splits.items()}
    sample = min(recipe.valid_sample or sizes["valid"], sizes["valid"])
    writes = data.task.decoding != "best"
    return tuple(measuring_cost(count, writes=writes) for count in (sample, sizes["valid"], sizes["test"]))  # type: ignore[return-value]


@dataclass(frozen=True)
class _Timed:
    """A pack of trials."""

    warm: Pace  # on utterances whose source states are kept
    cold: Pace  # on new ones
    weights: tuple[float, ...]  # of each, `Speed.weights`
    state_bytes: int  # the mean over the trials


def _timed(trainer: MultiTrialTrainer, trials: Sequence[Params], device: torch.device) -> _Timed:
    """Time a pack of trials: all together on new utterances and on known ones, and each alone."""

    def seconds(numbers: Sequence[int], updates: int, first: int = 0) -> float:
        """Seconds for an utterance of each of these trials, on batches of the stream from `first` on."""
        began, before = time.perf_counter(), trainer.seen(numbers[0])
        trainer.retrain(numbers, [(first, updates)])
        if device.type == "cuda":  # training never waits for it
            torch.cuda.synchronize(device)
        return (time.perf_counter() - began) / (trainer.seen(numbers[0]) - before)

    for number, params in enumerate(trials):
        trainer.add(number, params, seed=number, budget=BUDGET)
    everyone = range(len(trials))
    first_s = seconds(everyone, 1, first=UPDATES) * trainer.seen(0)  # it also warms up, and is counted no further
    updates = 1 if first_s > SLOW_S else UPDATES
    new_s, known_s = seconds(everyone, updates), seconds(everyone, updates)
    alone_s = [seconds([number], updates) for number in everyone]
    fixed_s = 0.0
    if len(trials) > 1:
        fixed_s = min(known_s, *alone_s, max(0.0, (sum(alone_s) - known_s) / (len(trials) - 1)))
    own_s = [one - fixed_s for one in alone_s]
    mean_s = sum(own_s) / len(own_s)
    weights = tuple(one / mean_s if mean_s else 1.0 for one in own_s)
    each_s = (known_s - fixed_s) / len(trials)
    with tempfile.TemporaryDirectory() as folder:
        for number in everyone:
            trainer.save(number, Path(folder, str(number)))
        sizes = [path.stat().st_size for path in Path(folder).rglob("*") if path.is_file()]
    cold = Pace(fixed_s + max(0.0, new_s - known_s), each_s)
    return _Timed(Pace(fixed_s, each_s), cold, weights, sum(sizes) // len(trials))
