"""Record learning curves of settings drawn from a whole space, for `bench strategies` to replay; prints the file.

Every setting is trained to the full budget under one seed. It is measured on valid along the way and on test at the
end. There are as many as `trials`, and the first trials of the search, with numbers below 0. Then the `top` ones
by valid are trained again, under `repeats` fresh seeds each. A file that is there already is continued.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sp_search.bench.strategies.curves import Curve, Recorded, by_setting, keep_whole_lines, line_of, read_curves
from sp_search.bench.strategies.recording import Wanted, record
from sp_search.cli.settings.reads import OF_RECIPE
from sp_search.cli.wiring.search_setup import PreparedSearch, prepare_search, resolved_dtype
from sp_search.config import Settings, below_one, refuse
from sp_search.errors import ConfigError
from sp_search.files.paths import check_writable, is_there
from sp_search.search.base.protocol import VALID
from sp_search.search.estimate.cost_estimate import draws
from sp_search.search.study.sampler import trial_seed
from sp_search.tracking.base.provenance import versions
from sp_search.types import Params

READS = (*OF_RECIPE, "space", "schedule.budget", "schedule.trials", "schedule.first_trials", "method")
EXAMPLE = "sp-search bench curves task=keyword to=keyword.jsonl"
STARTS_FROM = ("trials=150",)


@dataclass(frozen=True, kw_only=True)
class BenchCurvesSettings(Settings):
    """What to record."""

    to: Path  # the file of JSON lines
    pack: int = 10  # trials that train together
    processes: int = 2  # that train packs side by side
    top: int = 10  # settings that are trained again, the best ones by valid
    repeats: int = 0  # fresh seeds of each of these

    def __post_init__(self) -> None:
        super().__post_init__()
        faults = below_one(self, "pack", "processes", "top")
        if self.repeats < 0:
            faults.append(f"repeats: expected 0 or more, got {self.repeats}")
        refuse(faults)


def run(config: BenchCurvesSettings) -> int:
    """Record what the file lacks, and print its name."""
    check_writable(config.to.parent, "to")
    is_begun = is_there(config.to) and bool(keep_whole_lines(config.to))
    prepared = prepare_search(config)
    about = _about(config, prepared)
    if is_begun:
        there, curves = read_curves(config.to)
        if there != about:
            raise ConfigError(
                f"to: {config.to}: expected curves of this search, got some of another task, LM, corpus, space, "
                f"budget or version; name another file"
            )
    else:
        config.to.write_text(line_of(about), encoding="utf-8")
        curves = []
    settings = [*enumerate(draws(prepared.space, config.schedule.trials, config.schedule.seed)), *_by_hand(prepared)]
    once = [Wanted(number, trial_seed(config.schedule.seed, number), params, False) for number, params in settings]
    curves += _recorded(config, prepared, about, _missing(once, curves))
    again = [
        Wanted(curve.number, trial_seed(config.schedule.seed, curve.number, repeat), curve.params, True)
        for repeat in range(1, config.repeats + 1)
        for curve in _best(curves, config.top)
    ]
    list(_recorded(config, prepared, about, _missing(again, curves)))
    print(config.to)
    return 0


def _by_hand(prepared: PreparedSearch) -> Iterator[tuple[int, Params]]:
    """The first trials of the search, with what they leave open drawn."""
    first = prepared.settings.first_trials
    return ((-1 - place, params) for place, params in enumerate(draws(prepared.space, len(first), 0, given=first)))


def _recorded(
    config: BenchCurvesSettings, prepared: PreparedSearch, about: Recorded, wanted: Sequence[Wanted]
) -> Iterator[Curve]:
    """Record curves, and add each to the file."""
    sizes = {"pack": config.pack, "processes": config.processes}
    for curve in record(prepared.recipe, wanted, budget=about.budget, metric=about.metric, **sizes):
        with config.to.open("a", encoding="utf-8") as file:
            file.write(line_of(curve))
        yield curve


def _missing(wanted: Sequence[Wanted], curves: Sequence[Curve]) -> list[Wanted]:
    there = {(curve.number, curve.seed) for curve in curves}
    return [one for one in wanted if (one.number, one.seed) not in there]


def _best(curves: Sequence[Curve], count: int) -> list[Curve]:
    """The first curve of each of the best settings by valid at the end."""
    first = [of_setting[0] for of_setting in by_setting(curves).values() if of_setting[0].points]
    return sorted(first, key=lambda curve: -curve.points[-1][1])[:count]


def _about(config: BenchCurvesSettings, prepared: PreparedSearch) -> Recorded:
    identity = prepared.identity
    return Recorded(
        task=identity.task,
        lm=identity.lm,
        data=identity.data,
        metric=prepared.settings.metric.removeprefix(VALID),
        budget=config.schedule.budget,
        batch_size=config.schedule.batch_size,
        layers=prepared.lm.architecture.layers,
        space=dict(config.space),
        made_by={
            "lm_fingerprint": identity.lm_fingerprint,
            "data_fingerprint": identity.data_fingerprint,
            "version": versions()["sp_search"],
            "dtype": resolved_dtype(config),
        },
    )
