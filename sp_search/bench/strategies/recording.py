"""Records learning curves: packs of trials that start together and are all trained to their full budget."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass

from sp_search.bench.strategies.curves import Curve, Point
from sp_search.engine.train.factory import TrainerSpec
from sp_search.engine.train.trainer import MultiTrialTrainer
from sp_search.message import say
from sp_search.search.base.protocol import VALID
from sp_search.types import Params

FINEST = 64
"""The first point is at a 64th of the budget, each other one at twice the one before."""

SHARING = ("max_source_units", "position", "depth", "side")
"""Parameters in which trials must agree to share a pass: those that do are put into one pack."""


@dataclass(frozen=True)
class Wanted:
    """A curve to be recorded."""

    number: int  # of the setting
    seed: int
    params: Params
    keeps_tally: bool  # whether what valid comes to at the end is kept utterance by utterance


def points_of(budget: int) -> tuple[int, ...]:
    """The utterances seen at which a curve has points, ascending; the last is the budget."""
    return tuple(sorted({budget // 2**power for power in range(FINEST.bit_length())} - {0}))


def record(
    recipe: TrainerSpec, wanted: Sequence[Wanted], *, budget: int, metric: str, pack: int, processes: int
) -> Iterator[Curve]:
    """Train these trials in packs; the curves come in the order in which packs end.

    Args:
        recipe: of the trainer that each process builds for itself.
        wanted: what is trained; trials of one pack share their batches.
        budget: training utterances of every trial.
        metric: that decides.
        pack: trials that train together.
        processes: that train packs side by side.
    """
    wanted = sorted(wanted, key=lambda one: [str(one.params.get(name)) for name in SHARING])
    packs = [wanted[start : start + pack] for start in range(0, len(wanted), pack)]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, initializer=_build, initargs=(recipe,)) as pool:
        for done in as_completed([pool.submit(_recorded, of_pack, budget, metric) for of_pack in packs]):
            yield from done.result()


_TRAINER: list[MultiTrialTrainer] = []
"""The trainer of this process, built once."""


def _build(recipe: TrainerSpec) -> None:
    _TRAINER.append(recipe())


def _recorded(wanted: Sequence[Wanted], budget: int, metric: str) -> list[Curve]:
    """The curves of one pack."""
    trainer = _TRAINER[0]
    runs = dict(enumerate(wanted))
    for key, run in runs.items():
        trainer.add(key, run.params, seed=run.seed, budget=budget)
    curves: dict[int, list[Point]] = {key: [] for key in runs}
    live = list(runs)
    for point in points_of(budget):
        waiting = list(live)
        while waiting:
            reports = trainer.advance(waiting, dict.fromkeys(waiting, point))
            for key, report in reports.items():
                if report.diverged:
                    live.remove(key)
                else:
                    curves[key].append((report.utterances_seen, report.metrics[VALID + metric]))
            waiting = [key for key in waiting if key not in reports]
        say(f"{_name(wanted)}: {point:,} of {budget:,} utterances")
    on_test = trainer.evaluate(live, "test") if live else {}
    tests = {key: metrics[metric] for key, metrics in on_test.items()}
    return [_curve(trainer, key, run, curves[key], tests.get(key)) for key, run in runs.items()]


def _name(wanted: Sequence[Wanted]) -> str:
    """A pack, for people."""
    return f"settings {wanted[0].number} to {wanted[-1].number}" if len(wanted) > 1 else f"setting {wanted[0].number}"


def _curve(trainer: MultiTrialTrainer, key: int, run: Wanted, points: Sequence[Point], test: float | None) -> Curve:
    """A trained trial as a curve; the trainer lets go of it."""
    valid = None
    if run.keeps_tally and test is not None:
        tally = trainer.measure({key: 1.0}, "valid")["tally"]
        valid = tuple(tuple(round(float(x), 4) for x in column) for column in (tally.found, tally.total))
    trainer.remove(key)
    return Curve(number=run.number, seed=run.seed, params=run.params, points=tuple(points), test=test, valid=valid)
