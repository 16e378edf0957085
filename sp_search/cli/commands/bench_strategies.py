"""Compare ways to search on recorded curves (`bench curves`); prints a JSON line for each way.

The project's own searcher and scheduler run on the curves: a setting that was not recorded has the curve of the
recorded one that is most like it. A search has `schedule.trials`, and ends earlier if its utterances are spent.
`regret` is how far the answer is below the best recorded curve on valid, after a quarter, a half and all of the
utterances, with its 95 % interval over seeds at the end. `test` is the answer's metric on test. `as_random_at` is
after which utterances a way is as good as random draws are at their end, as a share of those that they take for it.

If the curves have settings under several seeds, lines on the race follow: what settings that leave early cost, and
what they save.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from sp_search.bench.strategies.curves import Curve, Recorded, by_setting, read_curves
from sp_search.bench.strategies.known import REFERENCE, known_strategies
from sp_search.bench.strategies.racing import race_results
from sp_search.bench.strategies.recording import points_of
from sp_search.bench.strategies.table import Course, courses
from sp_search.cli.wiring.search_setup import search_settings
from sp_search.config import Settings, below_one, refuse
from sp_search.engine.trial.hparams import parameter_limits
from sp_search.errors import ConfigError
from sp_search.message import say
from sp_search.search.base.protocol import VALID
from sp_search.search.base.rungs import report_points
from sp_search.search.base.settings import SearchSettings
from sp_search.search.base.space import read_space

READS = ("task", "data", "schedule", "cluster.workers", "cluster.slots", "engine.device")
EXAMPLE = "sp-search bench strategies task=keyword"
RECORDED = Path(str(files("sp_search.bench.strategies"))) / "recorded"
MOMENTS = 24
"""Numbers of utterances at which searches are compared, evenly spaced."""

BEHIND = (None, 0.5, 1.0, 1.5, 2.0, 3.0)
"""Thresholds of the race, in standard errors; None = one round decides."""

RACED = 3
"""Seeds of a setting that is in a race, at most."""


@dataclass(frozen=True, kw_only=True)
class BenchStrategiesSettings(Settings):
    """What to compare."""

    curves: Path | None = None  # a file that bench curves wrote; null = those of the task on the demo, in the package
    seeds: int = 50  # searches of each way
    utterances: float = 8  # of all trials of a search together, as a multiple of the budget of one, at most
    processes: int = 1  # that run searches side by side
    ways: str = ""  # some of the ways, by name, with ; between them; none = all
    races: int = 200  # drawn, where the curves have settings under several seeds

    def __post_init__(self) -> None:
        super().__post_init__()
        faults = below_one(self, "seeds", "processes", "races")
        if not self.utterances > 0:
            faults.append(f"utterances: expected above 0, got {self.utterances}")
        refuse(faults)


def run(config: BenchStrategiesSettings) -> int:
    """Print the lines."""
    path = config.curves or _in_package(config.task.name)
    about, curves = read_curves(path)
    settings = {number: of_setting[0] for number, of_setting in by_setting(curves).items()}
    for line in _strategy_lines(config, path, about, settings):
        print(json.dumps({"task": about.task, "data": about.data, "curves": len(settings), **line}), flush=True)
    for line in _race_lines(config, curves):
        print(json.dumps({"task": about.task, "data": about.data, **line}))
    return 0


def _in_package(task: str) -> Path:
    """The curves of a task on the demo.

    Raises:
        ConfigError: the package has none.
    """
    found = {path.name.partition(".")[0]: path for path in sorted(RECORDED.iterdir())}
    if task not in found:
        raise ConfigError(
            f"curves: expected a file, for the package has those of {' and '.join(found)}, got none for {task}; "
            f"make one with bench curves task={task}"
        )
    return found[task]


def _strategy_lines(
    config: BenchStrategiesSettings, path: Path, about: Recorded, settings: dict[int, Curve]
) -> Iterator[dict[str, Any]]:
    space = read_space(about.space, parameter_limits(about.layers), about.layers)
    as_set = _as_set(config, path, about, settings)
    known = known_strategies(as_set)
    wanted = [name.strip() for name in config.ways.split(";") if name.strip()] or list(known)
    if unknown := [name for name in wanted if name not in known]:
        raise ConfigError(f"ways: expected some of {'; '.join(known)}, got {'; '.join(unknown)}")
    names = list(dict.fromkeys([REFERENCE, *wanted]))
    moments = [config.utterances * about.budget * (i + 1) / MOMENTS for i in range(MOMENTS)]
    searches = {name: [replace(known[name], seed=seed) for seed in range(config.seeds)] for name in names}
    random: Course | None = None
    for name, course in courses(
        searches, space, list(settings.values()), utterances=moments, processes=config.processes
    ):
        random = random or course
        yield _line(name, course, random)


def _as_set(
    config: BenchStrategiesSettings, path: Path, about: Recorded, settings: dict[int, Curve]
) -> SearchSettings:
    """The search of the settings on the budget of the curves, with the recorded first trials.

    The grace is that of the settings, or, where the curves have no such point, the same share of their budget.
    """
    first = tuple(curve.params for number, curve in sorted(settings.items(), reverse=True) if number < 0)
    search = search_settings(config, f"{VALID}{about.metric}", first, begun_as="")
    points = points_of(about.budget)
    for grace in (search.grace, max(1, round(search.grace * about.budget / search.budget))):
        asked = replace(search, budget=about.budget, grace=grace)
        if grace <= about.budget and {*report_points(about.budget, grace, asked.reduction_factor)} <= {*points}:
            return asked
    raise ConfigError(
        f"schedule.grace: expected one of the points of {path}, which are {', '.join(map(str, points))}, from which "
        f"on schedule.reduction_factor leads to others of them; got {search.grace}; set schedule.grace"
    )


def _line(name: str, course: Course, random: Course) -> dict[str, Any]:
    """A way to search, in numbers."""
    last = len(course.utterances) - 1
    quarters = {"quarter": last // 4, "half": last // 2, "all": last}
    reached, reference = (one.reaches(random.last_regret) for one in (course, random))
    return {
        "way": name,
        "utterances": course.utterances[-1],
        "spent": round(float(course.spent.mean())),
        "regret": {at: round(float(course.regret[:, i].mean()), 4) for at, i in quarters.items()},
        "regret_interval": [round(x, 4) for x in course.interval(course.regret[:, [last]])],
        "test": round(float(course.test[:, last].mean()), 4),
        "test_interval": [round(x, 4) for x in course.interval(course.test[:, [last]])],
        "as_random_at": None if reached is None or reference is None else round(reached / reference, 3),
    }


def _race_lines(config: BenchStrategiesSettings, curves: list[Curve]) -> Iterator[dict[str, Any]]:
    confirm = config.schedule.confirm
    runs = by_setting(curve for curve in curves if curve.valid is not None and curve.test is not None)
    enough = sum(len(of_setting) >= RACED for of_setting in runs.values())
    if enough < confirm.top:
        say(
            f"race: expected {confirm.top} settings or more of {RACED} seeds, got {enough}; bench curves "
            f"repeats={RACED} records them"
        )
        return
    sizes = {"settings": confirm.top, "seeds": RACED, "races": config.races}
    for result in race_results(runs, **sizes, behind=BEHIND):
        figures = {name: value if value is None else round(value, 4) for name, value in asdict(result).items()}
        yield {"race": sizes, **figures}
