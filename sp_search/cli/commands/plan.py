"""Print the plan of a search without running it: its space for this LM, first trials, rungs and amount of training.

The LM and the corpus are read, so faults in them, in the space or in the settings are found here. The time is
estimated from a rate, in trial-utterances/s of the whole search: give it with rate=900, or let measure=true measure a
worker for some seconds. json=true prints one JSON object.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace

import torch

from sp_search.bench.speed import engine_course, medians
from sp_search.cli.settings.reads import OF_SEARCH
from sp_search.cli.wiring.places import check_places
from sp_search.cli.wiring.ray_settings import joined
from sp_search.cli.wiring.search_setup import PreparedSearch, prepare_search, searches_rivals, tell_corpus
from sp_search.config import Settings
from sp_search.engine.train.factory import TrainerSpec
from sp_search.errors import ConfigError
from sp_search.search.base.cost_estimate import Plan, draws, plan_search
from sp_search.search.base.settings import SearchSettings
from sp_search.search.base.space import Space

READS = OF_SEARCH
EXAMPLE = "sp-search plan task=intent data=units/my measure=true"

MEASURED_UPDATES, MEASURED_STRETCHES = 5, 3


@dataclass(frozen=True, kw_only=True)
class PlanSettings(Settings):
    """The rate, and the form of the output."""

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


def planned_search(
    config: Settings, prepared: PreparedSearch, rate: float | None = None, *, is_new: bool, is_measured: bool = False
) -> Planned:
    """What a checked search will do.

    Args:
        config: of the command.
        prepared: of the same settings.
        rate: trial-utterances/s of all workers, where it is known.
        is_new: whether the study has no trials yet.
        is_measured: whether the rate was.
    """
    lm, data, settings = prepared.lm, prepared.data, prepared.settings
    return Planned(
        study=settings.study,
        is_new=is_new,
        trials=settings.trials,
        workers=settings.workers,
        slots=settings.slots,
        lm={"name": config.lm.name, "layers": lm.architecture.layers, "embed_dim": lm.architecture.embed_dim},
        utterances={"data": config.data.name, **{name: len(split) for name, split in data.corpus.splits.items()}},
        plan=plan_search(settings, prepared.space),
        rate=rate,
        is_measured=is_measured,
    )


def worker_rate(recipe: TrainerSpec, settings: SearchSettings, space: Space) -> float:
    """Trial-utterances/s of one worker whose slots are all filled with trials drawn from the space."""
    torch.set_num_threads(recipe.threads)
    recipe = replace(recipe, chunk_updates=MEASURED_UPDATES)
    course = engine_course(recipe, draws(space, settings.slots, settings.seed), MEASURED_STRETCHES)
    timed = [course.timed(number) for number in range(1, 1 + MEASURED_STRETCHES)]
    return medians(timed, "utterances_per_s")["utterances_per_s"]


@dataclass(frozen=True)
class Planned:
    """A plan with the study, the LM, the corpus and the rate that it is for."""

    study: str
    is_new: bool
    trials: int
    workers: int
    slots: int  # trials in flight on a worker
    lm: Mapping[str, str | int]
    utterances: Mapping[str, str | int]  # in the corpus, by split; the corpus's name under "data"
    plan: Plan
    rate: float | None  # trial-utterances/s of all workers
    is_measured: bool

    @property
    def hours(self) -> dict[str, float] | None:
        """The estimated and the longest training time; None without a rate."""
        if self.rate is None:
            return None
        estimated, most = self.plan.utterances
        return {"estimated": estimated / self.rate / 3600, "most": most / self.rate / 3600}


def lines(planned: Planned) -> Iterator[str]:
    """The lines of the plan."""
    plan, counts = planned.plan, planned.utterances
    yield (
        f"study {planned.study}: {planned.trials} trials, {planned.workers} workers of {planned.slots} slots"
        + ("" if planned.is_new else "; its folder is there: trials it already has are not trained again")
    )
    yield (
        f"LM {planned.lm['name']}: {planned.lm['layers']} layers x {planned.lm['embed_dim']}; data {counts['data']}: "
        f"{counts['train']:,} utterances to train on, {counts['valid']:,} to validate, {counts['test']:,} to test"
    )
    yield "\nspace"
    width = max(map(len, plan.ranges))
    yield from (f"  {name:<{width}}  {values}" for name, values in plan.ranges.items())
    if plan.first_trials:
        yield "\nfirst trials"
        yield from ("  " + " ".join(f"{n}={_short(v)}" for n, v in trial.items()) for trial in plan.first_trials)
    yield "\nrungs: utterances seen, trials that get there"
    for point in plan.points:
        last = ", the full budget" if point is plan.points[-1] else ""
        yield f"  {point.utterances:>9,}  about {point.trials:.0f}, at most {planned.trials}{last}"
    yield (
        f"\ntraining: about {plan.search_utterances:,} utterances for the search (at most "
        f"{plan.most_search_utterances:,}), about {plan.confirm_utterances:,} for the confirm runs (at most "
        f"{plan.most_confirm_utterances:,}), {plan.final_utterances:,} for the winner's final training"
    )
    yield _duration(planned)


def _duration(planned: Planned) -> str:
    if planned.hours is None or planned.rate is None:
        return "time: not known without a rate; say rate=TRIAL_UTTERANCES_PER_S, or measure=true"
    how = "one worker measured, times the workers" if planned.is_measured else "as given"
    return (
        f"time: about {_clock(planned.hours['estimated'])}, at most {_clock(planned.hours['most'])}, at "
        f"{planned.rate:,.0f} trial-utterances/s ({how}); start-up, validation and slots that wait come on top"
    )


def _clock(hours: float) -> str:
    minutes = round(hours * 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{max(1, minutes)} min"


def _short(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
