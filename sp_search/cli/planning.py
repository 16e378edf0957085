"""A search's plan as lines for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sp_search.search.plan import Plan


@dataclass(frozen=True)
class Planned:
    """A plan, and what it is for."""

    study: str
    is_new: bool
    trials: int
    workers: int
    slots: int  # trials in flight on a worker
    lm: Mapping[str, str | int]
    utterances: Mapping[str, str | int]  # of the corpus, by split; its name under data
    plan: Plan
    rate: float | None  # trial-utterances/s of all workers
    is_measured: bool

    @property
    def hours(self) -> dict[str, float] | None:
        """Estimated training time, and the most; None without a rate."""
        if self.rate is None:
            return None
        wanted, most = self.plan.search_utterances, self.plan.most_search_utterances
        return {
            name: (count + self.plan.confirm_utterances) / self.rate / 3600
            for name, count in (("estimated", wanted), ("most", most))
        }


def lines(planned: Planned) -> Iterator[str]:
    """The plan, a line each."""
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
        f"{plan.most_search_utterances:,}), {plan.confirm_utterances:,} for the confirm runs"
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
