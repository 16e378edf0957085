"""What a search will do, as a record and as lines for people; `plan` prints it, and a tracked study keeps it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sp_search.cli.wiring.search_setup import PreparedSearch
from sp_search.config import Settings
from sp_search.search.base.cost_estimate import Plan, plan_search


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
