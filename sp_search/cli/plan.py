"""Say what a search would do, without doing it: its space for this LM, its first trials, its rungs, its training.

LM and corpus are read, so what is wrong with them, with the space or with the settings shows here. How long it takes
needs a rate, in trial-utterances/s of the whole search: rate=900 gives one, measure=true measures a worker for some
seconds. json=true prints one JSON object.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace

import torch

from sp_search.bench.speed import engine_course, medians
from sp_search.cli.joining import joined
from sp_search.cli.parts import recipe_of
from sp_search.cli.planning import Planned, lines
from sp_search.cli.searching import search_settings, space_of
from sp_search.config import Settings
from sp_search.engine.build import PackRecipe
from sp_search.errors import ConfigError
from sp_search.search.plan import draws, plan_search
from sp_search.search.settings import SearchSettings
from sp_search.search.space import Space

MEASURED_UPDATES, MEASURED_STRETCHES = 5, 3


@dataclass(frozen=True, kw_only=True)
class PlanSettings(Settings):
    """What to tell beside the plan."""

    rate: float | None = None  # trial-utterances/s of the whole search; null = unknown
    measure: bool = False  # measure the rate
    json: bool = False  # one JSON object instead of text for people

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rate is not None and not self.rate > 0:
            raise ConfigError(f"rate: expected above 0, got {self.rate}")
        if self.rate is not None and self.measure:
            raise ConfigError("rate: expected a rate or measure=true, got both")


def run(config: PlanSettings) -> int:
    """Print the plan."""
    with joined(config) as sized:
        planned = _planned(sized)
    print(json.dumps(asdict(planned) | {"hours": planned.hours}) if config.json else "\n".join(lines(planned)))
    return 0


def _planned(config: PlanSettings) -> Planned:
    recipe = recipe_of(config)
    lm, data = recipe.data()
    settings = search_settings(config, lm.architecture.layers)
    space = space_of(config, recipe.task, lm.architecture.layers)
    return Planned(
        study=settings.study,
        is_new=not settings.folder.exists(),
        trials=settings.trials,
        workers=settings.workers,
        slots=settings.slots,
        lm={"name": config.lm.name, "layers": lm.architecture.layers, "embed_dim": lm.architecture.embed_dim},
        utterances={"data": config.data.name, **{name: len(split) for name, split in data.corpus.splits.items()}},
        plan=plan_search(settings, space),
        rate=worker_rate(recipe, settings, space) * settings.workers if config.measure else config.rate,
        is_measured=config.measure,
    )


def worker_rate(recipe: PackRecipe, settings: SearchSettings, space: Space) -> float:
    """Trial-utterances/s of one worker, its slots filled with trials drawn from the space."""
    torch.set_num_threads(recipe.threads)
    recipe = replace(recipe, chunk_updates=MEASURED_UPDATES)
    course = engine_course(recipe, draws(space, settings.slots, settings.seed), MEASURED_STRETCHES)
    timed = [course.timed(number) for number in range(1, 1 + MEASURED_STRETCHES)]
    return medians(timed, "utterances_per_s")["utterances_per_s"]
