"""What a search leaves: one prompt alone, and states that answer together; chosen on valid, measured on test once.

Every state that the search has kept may be a member: the runs of the winner's final training, the confirm runs, and
the trials that reached their full budget. They are of many settings, and answer together better than alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import optuna
from optuna.trial import FrozenTrial, TrialState

from sp_search.metrics.ensemble import greedy_ensembles
from sp_search.metrics.parts import NEW
from sp_search.metrics.tally import Tally
from sp_search.search.base.protocol import VALID, TrialRequest
from sp_search.search.base.settings import SearchSettings
from sp_search.search.run.race import survivors
from sp_search.search.run.seed_runs import SeedRun, confirm_run, final_run
from sp_search.search.study.trials import PARAMS, SEED, TWIN_OF, recorded_runs
from sp_search.search.workers.slots import SlotPool
from sp_search.search.workers.trainer import LogProbs
from sp_search.types import RIVAL_FILE, STATE_FILE, Answered, Member

RECALL_SHARES = (0.1, 0.2, 0.3, 0.4, 0.5)
"""Weights that are tried for a rival among states that write."""
NOT_WORSE = 2.0
"""Standard errors that a weight may be behind where valid decides: more would be shown to be worse, at 5 %."""

ADDED = ("trained_parameters", "stored_bytes")
"""Facts of which those of members are added up."""


@dataclass(frozen=True, eq=False)
class TrainedState:
    """A state on disk that may answer, alone or among others."""

    request: TrialRequest
    member: Member  # with a share of 1
    value: float  # of the metric that decides, on all of valid


@dataclass(frozen=True, eq=False)
class RivalMember:
    """What answers without the LM: log-probabilities of legal answers by split, and how it is exported."""

    log_probs: Mapping[str, LogProbs]  # (N, answers)
    recalls: bool  # answers are written: it says what comes next by the answers that it knows
    member: Member
    facts: Mapping[str, Any]  # method, trained_parameters, stored_bytes


@dataclass(frozen=True)
class Together:
    """States with the weights that they answer together with."""

    states: tuple[tuple[TrainedState, float], ...]
    rivals: tuple[tuple[RivalMember, float], ...] = ()

    @property
    def members(self) -> tuple[Member, ...]:
        """As they are exported."""
        own = [(state.member, share) for state, share in self.states]
        beside = [(rival.member, share) for rival, share in self.rivals]
        return tuple(replace(member, share=share) for member, share in (*own, *beside))

    def beside(self, rival: RivalMember, share: float) -> Together:
        """The same states, with a rival that has this share of the weight."""
        return Together(tuple((state, (1 - share) * own) for state, own in self.states), ((rival, share),))

    def ask(self, worker: Any, split: str) -> Any:
        """Have a worker answer a split; an object reference."""
        given = [(rival.log_probs[split], share) for rival, share in self.rivals]
        return worker.answer.remote([(state.request, share) for state, share in self.states], split, given)


@dataclass(frozen=True)
class Measured:
    """What states come to together."""

    members: tuple[Member, ...]
    metrics: Mapping[str, Mapping[str, float]]  # split -> metric
    intervals: Mapping[str, tuple[float, float]]  # of the metrics on test, 95 %
    tally: Tally  # the metric that decides, on test, utterance by utterance
    facts: Mapping[str, Any]  # method, trained_parameters, stored_bytes: of all together
    train_s: float
    utterances_per_s: float  # of test, answered on the search's own worker
    answers: Sequence[Answered]  # to valid, utterance by utterance


def seed_runs_of(study: optuna.Study, winner: FrozenTrial, settings: SearchSettings) -> list[SeedRun]:
    """The runs of the winning setting whose mean it is reported by: its final trainings, or else its confirm runs."""
    make, count = (final_run, settings.final_seeds) if settings.final_seeds else (confirm_run, settings.confirm_seeds)
    runs = [make(winner, repeat, settings) for repeat in range(1, count + 1)]
    return [run for run in runs if run.key in recorded_runs(study, run.role)]


def trained_states(study: optuna.Study, winner: FrozenTrial, settings: SearchSettings) -> list[TrainedState]:
    """Every state that is on disk and was trained to its full budget, the winner's runs first."""
    trials = {trial.number: trial for trial in study.get_trials(deepcopy=False)}
    confirmed = [tuple(map(int, key.split(":"))) for key in recorded_runs(study, "confirm")]
    runs = [run for run in seed_runs_of(study, winner, settings) if run.role == "final"]
    runs += [confirm_run(trials[number], repeat, settings) for number, repeat in confirmed]
    found = [
        TrainedState(
            run.request(settings),
            run.member(settings),
            float(recorded_runs(study, run.role)[run.key][settings.metric]),
        )
        for run in runs
    ]
    for number, trial in trials.items():
        if trial.state == TrialState.COMPLETE and TWIN_OF not in trial.user_attrs:
            request = settings.request(number, trial.user_attrs[PARAMS], trial.user_attrs[SEED])
            member = Member(
                share=1.0,
                trial=number,
                seed=request.seed,
                params=request.params,
                budget=request.budget,
                state=settings.trial_folder(number),
            )
            found.append(TrainedState(request, member, float(cast(float, trial.value))))
    return [s for s in found if any((s.member.state / name).exists() for name in (STATE_FILE, RIVAL_FILE))]


def greedy_answers(
    states: Sequence[TrainedState], rivals: Sequence[RivalMember], settings: SearchSettings, slots: SlotPool
) -> dict[str, list[Together]]:
    """Who may answer: `single`, the best state alone; `prompts`, states together; `all`, with rivals among them.

    All is chosen on valid: the single one by the metric that decides, the others by loss. Each has the steps of the
    greedy choice, fewest members first; the last is the best.
    """
    best = max(states, key=lambda state: state.value)
    found = {"single": [Together(((best, 1.0),))]}
    if settings.most_members == 1:
        return found
    workers = slots.workers
    asked = [workers[i % len(workers)].scores.remote(state.request, "valid") for i, state in enumerate(states)]
    (gold, utterances), *scores = slots.all_of([workers[0].events.remote("valid"), *asked])
    known = gold >= 0
    if not known.any():
        return found  # training has no answer of valid: nothing tells states apart
    choosing = [rival for rival in rivals if not rival.recalls]
    candidates: dict[str, list[LogProbs]] = {"prompts": scores}
    if choosing:
        candidates["all"] = [*scores, *(rival.log_probs["valid"] for rival in choosing)]
    for name, of_each in candidates.items():
        way = greedy_ensembles(
            [one[known] for one in of_each], gold[known], utterances[known], most=settings.most_members
        )
        found[name] = [_together(choice.shares, states, choosing) for choice in way]
    if recaller := next((rival for rival in rivals if rival.recalls), None):
        found["all"] = [_recalling(found["prompts"][-1], recaller, settings, slots)]
    return found


def _recalling(form: Together, rival: RivalMember, settings: SearchSettings, slots: SlotPool) -> Together:
    """States with a rival that recalls answers, if that pays: its weight is chosen by what is written on valid.

    Of the weights that are not shown to be worse where valid decides, the one is taken that is best on all of valid:
    where new sentences decide, sentences heard before are what a rival knows.
    """
    forms = [form, *(form.beside(rival, share) for share in RECALL_SHARES)]
    answered = _on_valid(forms, slots)
    near = survivors({i: [found["tally"]] for i, (found, _) in enumerate(answered)}, NOT_WORSE)
    whole = settings.metric.removeprefix(VALID).removesuffix(f"_{NEW}")
    return forms[max(near, key=lambda i: answered[i][0]["metrics"][whole])]


def _together(shares: Mapping[int, float], states: Sequence[TrainedState], rivals: Sequence[RivalMember]) -> Together:
    """Those with these numbers: states first, rivals behind the last of them."""
    own = tuple((states[i], share) for i, share in shares.items() if i < len(states))
    beside = tuple((rivals[i - len(states)], share) for i, share in shares.items() if i >= len(states))
    return Together(own, beside)


def smallest_answer(steps: Mapping[str, Sequence[Together]], slots: SlotPool) -> Together:
    """The answer of the fewest stored bytes among those within one standard error of the best on valid.

    Errors are paired over utterances. It is the one-standard-error rule of Breiman et al. (1984).

    Args:
        steps: of `greedy_answers`.
        slots: of the workers, which answer valid.
    """
    forms = list(dict.fromkeys(form for of_name in steps.values() for form in of_name))
    answered = _on_valid(forms, slots)
    near = survivors({i: [found["tally"]] for i, (found, _) in enumerate(answered)})
    return forms[min(near, key=lambda i: _facts(forms[i], answered[i][1])["stored_bytes"])]


def _on_valid(forms: Sequence[Together], slots: SlotPool) -> list[Any]:
    """What each form answers to valid."""
    workers = slots.workers
    return slots.all_of([form.ask(workers[i % len(workers)], "valid") for i, form in enumerate(forms)])


def measured(forms: Mapping[str, Together], slots: SlotPool) -> dict[str, Measured]:
    """Answer valid and test with each form; those that are the same are asked once."""
    workers, each = slots.workers, list(dict.fromkeys(forms.values()))
    asked = [form.ask(workers[i % len(workers)], split) for i, form in enumerate(each) for split in ("valid", "test")]
    answered = slots.all_of(asked)
    found = {form: _measured(form, *answered[2 * i : 2 * i + 2]) for i, form in enumerate(each)}
    return {name: found[form] for name, form in forms.items()}


def _measured(
    form: Together, on_valid: tuple[dict[str, Any], Any], on_test: tuple[dict[str, Any], list[dict[str, Any]]]
) -> Measured:
    (valid, _), (test, of_states) = on_valid, on_test
    return Measured(
        members=form.members,
        metrics={"valid": valid["metrics"], "test": test["metrics"]},
        intervals=test["intervals"],
        tally=test["tally"],
        facts=_facts(form, of_states),
        train_s=test["train_s"],
        utterances_per_s=test["utterances_per_s"],
        answers=valid["answers"],
    )


def _facts(form: Together, of_states: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The facts of all members together."""
    facts = [*of_states, *(rival.facts for rival, _ in form.rivals)]
    return {**facts[0], **{name: sum(one[name] for one in facts) for name in ADDED}}
