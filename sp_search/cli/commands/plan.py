"""Print the plan of a search without running it: its space for this LM, first trials, rungs and amount of training.

The LM and the corpus are read, so faults in them, in the space or in the settings are found here. The time is
estimated from a rate, in trial-utterances/s of the whole search: give it with rate=900, or let measure=true measure a
worker for some seconds. json=true prints one JSON object.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace

import torch

from sp_search.bench.speed.timing import engine_course, medians
from sp_search.cli.settings.reads import OF_SEARCH
from sp_search.cli.wiring.places import check_places
from sp_search.cli.wiring.planned import Planned, lines, planned_search
from sp_search.cli.wiring.ray_settings import joined
from sp_search.cli.wiring.search_setup import prepare_search, searches_rivals, tell_corpus
from sp_search.config import Settings
from sp_search.engine.train.factory import TrainerSpec
from sp_search.errors import ConfigError
from sp_search.search.base.cost_estimate import draws
from sp_search.search.base.settings import SearchSettings
from sp_search.search.base.space import Space

READS = OF_SEARCH
EXAMPLE = "sp-search plan task=intent data=units/my measure=true"

MEASURED_UPDATES, MEASURED_STRETCHES = 5, 3


@dataclass(frozen=True, kw_only=True)
class PlanSettings(Settings):
    """The rate, and the form of the output."""

    rate: float | None = None  # training utterances a second of all trials together; null = unknown
    measure: bool = False  # measure this rate
    json: bool = False  # one JSON object instead of text for people

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rate is not None and not self.rate > 0:
            raise ConfigError(f"rate: expected above 0, got {self.rate}")
        if self.rate is not None and self.measure:
            raise ConfigError("rate: expected a rate or measure=true, got both")


def run(config: PlanSettings) -> int:
    """Print the plan."""
    check_places(config)
    with joined(config) as sized:
        planned = _planned(sized)
    print(json.dumps(asdict(planned) | {"hours": planned.hours}) if config.json else "\n".join(lines(planned)))
    return 0


def _planned(config: PlanSettings) -> Planned:
    prepared = prepare_search(config)
    tell_corpus(prepared)
    settings, space = prepared.settings, prepared.space
    if config.measure and searches_rivals(space):
        raise ConfigError("measure: expected a method that trains on the LM, got rivals, which are fitted in seconds")
    rate = worker_rate(prepared.recipe, settings, space) * settings.workers if config.measure else config.rate
    is_new = not settings.folder.exists()
    return planned_search(config, prepared, rate, is_new=is_new, is_measured=config.measure)


def worker_rate(recipe: TrainerSpec, settings: SearchSettings, space: Space) -> float:
    """Trial-utterances/s of one worker whose slots are all filled with trials drawn from the space."""
    torch.set_num_threads(recipe.threads)
    recipe = replace(recipe, chunk_updates=MEASURED_UPDATES)
    course = engine_course(recipe, draws(space, settings.slots, settings.seed), MEASURED_STRETCHES)
    timed = [course.timed(number) for number in range(1, 1 + MEASURED_STRETCHES)]
    return medians(timed, "utterances_per_s")["utterances_per_s"]
