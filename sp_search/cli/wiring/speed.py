"""How fast a worker of this machine is, and how large a trial's state: some updates of some trials, timed."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from sp_search.engine.train.factory import TrainerSpec
from sp_search.engine.train.trainer import MultiTrialTrainer
from sp_search.engine.train.zero_copy import SharedParts
from sp_search.engine.trial.task_data import TaskData
from sp_search.search.base.cost_estimate import amounts, draws
from sp_search.search.base.played import Pace
from sp_search.search.base.rungs import measuring_cost
from sp_search.search.base.settings import SearchSettings
from sp_search.search.base.space import Space
from sp_search.search.base.time_estimate import Speed
from sp_search.types import Params

UPDATES = 3
"""That are timed, of each pack and of each of its trials alone."""

BUDGET = 1 << 40
"""Of the trials that are timed: none comes to its end."""


@dataclass(frozen=True)
class Measured:
    """What the timed steps say."""

    speed: Speed
    state_bytes: int  # of a trial such as those that win, the mean


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
        drawn = _Timed(recipe(parts), draws(space, settings.slots, settings.seed))
        racing = min(settings.confirm_top, settings.trials)
        first = settings.first_trials[:racing]
        best = _Timed(recipe(parts), draws(space, len(first), settings.seed, given=first)) if first else drawn
    finally:
        torch.set_num_threads(threads)
    epoch, stream = len(parts.data.train), amounts(settings).search / settings.in_flight
    is_new = min(1.0, epoch / stream)  # of the batches of the trials, that have sources not seen before
    pace = Pace(is_new * drawn.cold.fixed_s + (1 - is_new) * drawn.warm.fixed_s, drawn.warm.each_s)
    return Measured(Speed(pace, best.warm, split_costs(parts.data, recipe)), best.state_bytes)


def split_costs(data: TaskData, recipe: TrainerSpec) -> tuple[float, float, float]:
    """What measuring a run on valid's sample, valid and test costs, in training utterances."""
    sizes = {name: len(split) for name, split in data.corpus.splits.items()}
    sample = min(recipe.valid_sample or sizes["valid"], sizes["valid"])
    writes = data.task.decoding != "best"
    return tuple(measuring_cost(count, writes=writes) for count in (sample, sizes["valid"], sizes["test"]))  # type: ignore[return-value]


class _Timed:
    """A pack of trials, timed: all together on new utterances and on known ones, and each alone."""

    def __init__(self, trainer: MultiTrialTrainer, trials: Sequence[Params]) -> None:
        self._trainer = trainer
        for number, params in enumerate(trials):
            trainer.add(number, params, seed=number, budget=BUDGET)
        everyone = range(len(trials))
        new_s, known_s = self._seconds(everyone), self._seconds(everyone)
        alone_s = [self._seconds([number]) for number in everyone]
        each_s = known_s / len(trials)
        fixed_s = 0.0
        if len(trials) > 1:
            fixed_s = min(known_s, max(0.0, (sum(alone_s) - known_s) / (len(trials) - 1)))
            each_s = (known_s - fixed_s) / len(trials)
        self.warm = Pace(fixed_s, each_s)
        self.cold = Pace(fixed_s + max(0.0, new_s - known_s), each_s)
        with tempfile.TemporaryDirectory() as folder:
            for number in everyone:
                trainer.save(number, Path(folder, str(number)))
            sizes = [path.stat().st_size for path in Path(folder).rglob("*") if path.is_file()]
        self.state_bytes = sum(sizes) // len(trials)

    def _seconds(self, numbers: Sequence[int]) -> float:
        """Seconds for an utterance of each of these trials, on the first batches of the stream."""
        began, before = time.perf_counter(), self._trainer.seen(numbers[0])
        self._trainer.retrain(numbers, [(0, UPDATES)])
        return (time.perf_counter() - began) / (self._trainer.seen(numbers[0]) - before)
