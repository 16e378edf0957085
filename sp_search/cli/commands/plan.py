"""Print the plan of a search without running it: its space for this LM, first trials, rungs and amount of training.

The LM and the corpus are read, so faults in them, in the space or in the settings are found here. The time of the
whole search is estimated from a rate, in trial-utterances/s of its training: give it with rate=900, or let
measure=true time some updates on this machine, which also says how much disk the study takes. With budget.rate= it
says what that costs. json=true prints one JSON object.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from sp_search.cli.settings.reads import OF_SEARCH
from sp_search.cli.wiring.places import check_places
from sp_search.cli.wiring.planned import Planned, lines, planned_search
from sp_search.cli.wiring.ray_settings import joined
from sp_search.cli.wiring.search_setup import prepare_search, searches_rivals, tell_corpus
from sp_search.cli.wiring.speed import measured
from sp_search.config import Settings
from sp_search.errors import ConfigError

READS = OF_SEARCH
EXAMPLE = "sp-search plan task=intent data=units/my measure=true"


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
    print(
        json.dumps(asdict(planned) | {"hours": planned.hours, "money": planned.money})
        if config.json
        else "\n".join(lines(planned))
    )
    return 0


def _planned(config: PlanSettings) -> Planned:
    prepared = prepare_search(config)
    tell_corpus(prepared)
    settings, space = prepared.settings, prepared.space
    if config.measure and searches_rivals(space):
        raise ConfigError("measure: expected a method that trains on the LM, got rivals, which are fitted in seconds")
    recipe = prepared.recipe
    parts = recipe.parts(prepared.lm, prepared.data) if config.measure else None
    timed = None if parts is None else measured(recipe, parts, settings, space)
    return planned_search(config, prepared, config.rate, timed, is_new=not settings.folder.exists())
