"""Who runs next: Ray Tune asks, the Optuna study answers and is told the truth.

First come trials that a killed search left, then new ones up to the total. ASHA's stops are told as PRUNED with
their reports, full budgets as COMPLETE, crashes as FAIL.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.trial import TrialState
from ray.tune.search import Searcher

from sp_search.search.base.callbacks import Observers, is_observed
from sp_search.search.base.protocol import FACTS, METRIC, TIME, VALID
from sp_search.search.base.result import Keep, TrialResult
from sp_search.search.base.settings import SearchSettings
from sp_search.search.base.space import Space
from sp_search.search.study.study import PARAMS, REASON, SEED, STOPPED, reconcile, trial_seed, twin
from sp_search.search.tune.asha import NUMBER
from sp_search.types import STATE_FILE, ParamValue, Report

REQUEST, SEEN = "terms", "seen"
"""Keys of a Tune trial's config: what its worker is told of it, and what it has seen at an earlier start."""

KEPT = 5
"""Trials whose state stays on disk when they end: the best so many."""


@dataclass
class _Running:
    """A trial in flight."""

    number: int
    params: Mapping[str, ParamValue]
    trial: optuna.Trial
    reported: dict[int, float] = field(default_factory=dict)


class StudySearcher(Searcher):
    """The study as Ray Tune's searcher. Lives in the driver; one asker, so start-up draws are counted right."""

    def __init__(
        self,
        study: optuna.Study,
        space: Space,
        settings: SearchSettings,
        observers: Observers,
        keep: Keep,
    ) -> None:
        """Serve a study."""
        super().__init__(metric=METRIC, mode="max")
        self._study = study
        self._space = space
        self._settings = settings
        self._observers = observers
        self._keep = keep
        self._running: dict[str, _Running] = {}
        saved = [t.number for t in study.trials if (settings.trial_folder(t.number) / STATE_FILE).exists()]
        self._left = reconcile(study, saved)
        if not study.trials:
            for params in settings.first_trials:
                study.enqueue_trial(dict(params), skip_if_exists=True)

    def suggest(self, trial_id: str) -> Any:
        """The config of the next trial; None while none may start, FINISHED when none is left."""
        if len(self._running) >= self._settings.in_flight + self._settings.staged:
            return None
        found = self._continued() or self._asked()
        if found is None:
            return Searcher.FINISHED
        trial, params, seed, seen = found
        running = _Running(trial.number, params, trial, reported=dict(seen))
        return self._config(trial_id, running, seed, max(seen, default=0))

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Keep a report in the study at once, so that a killed search loses none."""
        self._keep_report(self._running[trial_id], result)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell the study how a trial ended."""
        running = self._running.pop(trial_id)
        if result is not None and TIME in result:
            self._keep_report(running, result)
        state, reason = self._outcome(running, result, error)
        if reason:
            running.trial.set_user_attr(REASON, reason)
        value = running.reported[max(running.reported)] if state == TrialState.COMPLETE else None
        self._study.tell(running.trial, value, state=state)
        if state == TrialState.COMPLETE:
            self._keep_prompt(running.number, result or {})
        self._drop_losers()
        self._observers.tell("trial_finished", running.number, state.name, reason, self._last(running))

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles its searcher for `Tuner.restore`, which is never used: the study is on disk."""
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the study is on disk."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore: a continued search reads the study."""

    def _config(self, trial_id: str, running: _Running, seed: int, seen: int) -> dict[str, Any]:
        self._running[trial_id] = running
        searched = self._space.searched(running.params)
        self._observers.tell("trial_started", running.number, searched, {"role": "search", "seed": str(seed)})
        return {
            NUMBER: running.number,
            SEEN: seen,
            REQUEST: self._settings.request(running.number, running.params, seed),
        }

    def _continued(self) -> tuple[optuna.Trial, Mapping[str, ParamValue], int, dict[int, float]] | None:
        if not self._left:
            return None
        frozen = self._left.pop(0)
        trial = optuna.Trial(self._study, frozen._trial_id)
        return trial, frozen.user_attrs[PARAMS], frozen.user_attrs[SEED], dict(frozen.intermediate_values)

    def _asked(self) -> tuple[optuna.Trial, Mapping[str, ParamValue], int, dict[int, float]] | None:
        """A new trial, up to the total; settings that were tried before are answered from the study."""
        while self._count() < self._settings.trials:
            trial = self._study.ask()
            params = self._space.suggest(trial)
            known = twin(self._study, params)
            trial.set_user_attr(PARAMS, params)
            if known is None:
                seed = trial_seed(self._settings.seed, trial.number)
                trial.set_user_attr(SEED, seed)
                shutil.rmtree(self._settings.trial_folder(trial.number), ignore_errors=True)  # of a study now gone
                return trial, params, seed, {}
            trial.set_user_attr(REASON, f"same settings as trial {known.number}")
            for seen, value in known.intermediate_values.items():
                trial.report(value, seen)
            self._study.tell(trial, known.value if known.state == TrialState.COMPLETE else None, state=known.state)
        return None

    def _count(self) -> int:
        waiting = (TrialState.WAITING,)
        return sum(trial.state not in waiting for trial in self._study.get_trials(deepcopy=False))

    def _keep_report(self, running: _Running, result: Mapping[str, Any]) -> None:
        seen, value = int(result[TIME]), float(result[METRIC])
        if seen in running.reported or not math.isfinite(value):
            return
        running.reported[seen] = value
        running.trial.report(value, seen)
        if FACTS not in running.trial.user_attrs:
            running.trial.set_user_attr(FACTS, dict(result.get(FACTS, ())))
        metrics = {name: float(result[name]) for name in result if is_observed(name)}
        self._observers.tell("reported", running.number, Report(seen, metrics))

    def _keep_prompt(self, number: int, result: Mapping[str, Any]) -> None:
        trial = self._study.get_trials(deepcopy=False)[number]
        finished = TrialResult(
            number=number,
            params=trial.user_attrs[PARAMS],
            seed=trial.user_attrs[SEED],
            state=self._settings.trial_folder(number),
            metrics={"valid": {name.removeprefix(VALID): value for name, value in _measured(result).items()}},
            facts=dict(result.get(FACTS, ())),
        )
        if (folder := self._keep(finished)) is not None:
            self._observers.tell("artifact", number, folder, "prompt")

    def _last(self, running: _Running) -> dict[str, float]:
        return {self._settings.metric: running.reported[max(running.reported)]} if running.reported else {}

    def _outcome(self, running: _Running, result: Mapping[str, Any] | None, error: bool) -> tuple[TrialState, str]:
        if error or result is None:
            return TrialState.FAIL, "the trial failed; see the log of its worker"
        if diverged := str(result.get("diverged", "")):
            return (TrialState.PRUNED if running.reported else TrialState.FAIL), diverged
        if max(running.reported, default=0) >= self._settings.budget:
            return TrialState.COMPLETE, ""
        return TrialState.PRUNED, STOPPED

    def _drop_losers(self) -> None:
        """Delete the states of ended trials but the best few; the study keeps what they reported."""
        trials = {trial.number: trial for trial in self._study.get_trials(deepcopy=False)}
        done = [trial for trial in trials.values() if trial.state == TrialState.COMPLETE]
        kept = {trial.number for trial in sorted(done, key=lambda t: -(t.value or 0.0))[:KEPT]}
        for folder in self._settings.trial_folders():
            number = int(folder.name)
            if number not in kept and number in trials and trials[number].state.is_finished():
                shutil.rmtree(folder)


def _measured(result: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in result.items() if name.startswith(VALID)}
