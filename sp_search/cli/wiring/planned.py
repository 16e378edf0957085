"""What a search will do, and what it will take, as a record and as lines for people.

`plan` prints it, a search begins with it, and a tracked study keeps it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from rich.filesize import decimal

from sp_search.cli.wiring.search_setup import PreparedSearch, methods_of
from sp_search.cli.wiring.speed import Measured, measured, split_costs
from sp_search.config import Settings
from sp_search.durations import spoken
from sp_search.engine.train.zero_copy import SharedParts
from sp_search.search.estimate.cost_estimate import Plan, plan_search
from sp_search.search.estimate.time_estimate import Expected, Speed, expected, pace_of_rate, stored_bytes

AROUND_S = 30.0
"""What everything but workers takes: rivals, the start of Ray and of workers, the report, MLflow."""


@dataclass(frozen=True)
class Planned:
    """A plan with the study, the LM, the corpus and the rate that it is for."""

    study: str
    is_new: bool
    trials: int
    workers: int
    slots: int  # trials in flight on a worker
    pruner: str  # its name
    lm: Mapping[str, str | int]
    utterances: Mapping[str, str | int]  # in the corpus, by split; the corpus's name under "data"
    plan: Plan
    rate: float | None  # trial-utterances/s of all workers
    is_measured: bool
    expected: Expected | None  # seconds; None without a rate
    disk_bytes: int | None  # None where no state was measured
    cache_bytes: int | None  # that a worker takes at most for states of the LM; None where no worker was timed
    price: float | None  # money an hour of one worker: the highest where it depends on the node

    @property
    def hours(self) -> dict[str, float] | None:
        """The estimated and the longest time of the whole search; None without a rate."""
        if self.expected is None:
            return None
        return {"estimated": self.expected.seconds / 3600, "most": self.expected.most_s / 3600}

    @property
    def money(self) -> dict[str, float] | None:
        """What that costs; None without a rate or a price."""
        if self.hours is None or self.price is None:
            return None
        return {name: hours * self.workers * self.price for name, hours in self.hours.items()}


def planned_search(
    config: Settings,
    prepared: PreparedSearch,
    rate: float | None = None,
    timed: Measured | None = None,
    *,
    is_new: bool,
) -> Planned:
    """What a checked search will do.

    Args:
        config: of the command.
        prepared: of the same settings.
        rate: trial-utterances/s of all workers, where it is given.
        timed: a worker's speed, where it was measured.
        is_new: whether the study has no trials yet.
    """
    lm, data, settings = prepared.lm, prepared.data, prepared.settings
    prices = settings.spending.prices
    speed = timed.speed if timed else None
    if rate is not None:
        pace = pace_of_rate(rate, settings.workers)
        speed = Speed(pace, pace, split_costs(data, prepared.recipe))
    elif speed is not None:
        rate = settings.in_flight / speed.drawn.step_s(settings.slots)
    return Planned(
        study=settings.study,
        is_new=is_new,
        trials=settings.trials,
        workers=settings.workers,
        slots=settings.slots,
        pruner=settings.pruner.name,
        lm={"name": config.lm.name, "layers": lm.architecture.layers, "embed_dim": lm.architecture.embed_dim},
        utterances={"data": config.data.name, **{name: len(split) for name, split in data.corpus.splits.items()}},
        plan=plan_search(settings, prepared.space),
        rate=rate,
        is_measured=timed is not None,
        expected=None if speed is None else expected(settings, speed, AROUND_S),
        disk_bytes=None if timed is None else stored_bytes(settings, timed.state_bytes),
        cache_bytes=None if timed is None else timed.cache_bytes,
        price=None if prices is None else prices.highest,
    )


def told_plan(
    config: Settings,
    prepared: PreparedSearch,
    parts: SharedParts | None,
    tell: Callable[[str], None],
    *,
    is_new: bool,
) -> Planned:
    """What this start of a search is to do, told of a new study.

    Its time is known where it trains prompts on this machine's CPU: a GPU is its worker's alone, a fine-tuned LM is
    one more in memory, and a probe reads all of the corpus first.

    Args:
        config: of the search.
        prepared: of the same settings.
        parts: of the recipe; None where rivals are searched, which train on no LM.
        tell: takes a line.
        is_new: whether the study has no trials yet.
    """
    if parts is None or not is_new:
        return planned_search(config, prepared, is_new=is_new)
    is_timed = parts.weights is not None and config.cluster.address is None
    prompts_alone = not set(methods_of(prepared.space)) - {"prompt"}
    timed = None
    if is_timed and prompts_alone:
        timed = measured(prepared.recipe, parts, prepared.settings, prepared.space)
    planned = planned_search(config, prepared, timed=timed, is_new=is_new)
    for line in first_lines(planned):
        tell(line)
    return planned


def first_lines(planned: Planned) -> Iterator[str]:
    """What a search begins with: its rungs, and what it is expected to take."""
    points = planned.plan.points
    there = ", ".join(f"about {point.trials:.0f} at {point.utterances:,}" for point in points)
    yield f"plan: {planned.trials} trials, of which get there: {there} utterances{_assumption(planned)}"
    if planned.expected is not None:
        yield f"plan: {_duration(planned)}"
    if planned.cache_bytes is not None:
        yield f"plan: {_memory(planned.cache_bytes)}"


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
    yield f"\nrungs: utterances seen, trials that get there{_assumption(planned)}"
    for point in plan.points:
        last = ", the full budget" if point is plan.points[-1] else ""
        yield f"  {point.utterances:>9,}  about {point.trials:.0f}, at most {planned.trials}{last}"
    yield (
        f"\ntraining: about {plan.search_utterances:,} utterances for the search (at most "
        f"{plan.most_search_utterances:,}), about {plan.confirm_utterances:,} for the confirm runs (at most "
        f"{plan.most_confirm_utterances:,}), {plan.final_utterances:,} for the winner's final training"
    )
    yield _duration(planned)
    if planned.cache_bytes is not None:
        yield _memory(planned.cache_bytes)


def _memory(cache_bytes: int) -> str:
    """What a worker keeps so that no trial computes it again."""
    if not cache_bytes:
        return "memory: none is kept for states of the LM that no prompt changes (engine.trunk_cache_gib)"
    return (
        f"memory: a worker keeps at most {decimal(cache_bytes)} of states of the LM that no prompt changes "
        "(engine.trunk_cache_gib)"
    )


def _assumption(planned: Planned) -> str:
    """What an estimate assumes where it knows no better."""
    return "" if planned.pruner in ("asha", "none") else f" (estimated for asha, not for {planned.pruner})"


def _duration(planned: Planned) -> str:
    """Time, disk and money, as far as they are known."""
    if planned.expected is None or planned.rate is None:
        return "time: not known without a rate; say rate=TRIAL_UTTERANCES_PER_S, or measure=true"
    how = "timed on one worker" if planned.is_measured else "as given"
    parts = [
        f"time: about {spoken(planned.expected.seconds)}, at most {spoken(planned.expected.most_s)} (at "
        f"{planned.rate:,.0f} trial-utterances/s, {how})"
    ]
    if planned.disk_bytes is not None:
        parts.append(f"disk: about {decimal(planned.disk_bytes)}")
    if (money := planned.money) is not None:
        parts.append(f"money: about {money['estimated']:,.2f}, at most {money['most']:,.2f}")
    return "; ".join(parts)


def _short(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
