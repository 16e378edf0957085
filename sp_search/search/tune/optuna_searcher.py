"""The Optuna study as Ray Tune's searcher: it proposes trials, and decides how they end.

Trials that a stopped search left come first, with their settings; then new ones up to the total. A trial that ASHA
stopped is recorded as PRUNED with its reports, one at full budget as COMPLETE. FAIL is for a trial whose own run
raised, after it was retried as often as `retries` allows.
"""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Callable
from typing import Any

import optuna
from optuna.trial import TrialState
from ray.tune.search import Searcher

from sp_search.search.base.callbacks import Observers
from sp_search.search.base.protocol import FACTS, INTERIM, METRIC, TIME
from sp_search.search.base.result import Keep
from sp_search.search.base.settings import KEPT, SearchSettings
from sp_search.search.base.space import Space
from sp_search.search.study.sampler import sampler, trial_seed
from sp_search.search.study.study import OpenStudy
from sp_search.search.study.trials import (
    FAILURES,
    MEASURED,
    METRICS,
    OVER,
    PARAMS,
    REASON,
    REPORTS,
    SEED,
    STOPPED,
    TWIN_OF,
)
from sp_search.search.tune.bounded import BoundedSampler
from sp_search.search.tune.index import TrialIndex
from sp_search.search.tune.recorder import Recorder
from sp_search.search.tune.running import Running
from sp_search.search.tune.scheduler import NUMBER, ReplayedScheduler
from sp_search.search.workers.setbacks import cause_of, check_room, is_of_full_disk, may_try_again
from sp_search.search.workers.slots import is_worker_lost

REQUEST, SEEN = "request", "seen"
"""Keys of a Tune trial's config: the request to its worker, and the utterances it saw in an earlier start."""

BOUNDED = ("tpe", "gp")
"""Samplers whose proposals cost more with every trial that they see."""
LOOK_EVERY = 100
"""How often, in trials, a large study is looked through for trials that somebody has enqueued."""


class StudySearcher(Searcher):
    """Serves a study to Ray Tune. Only this object asks the study for trials, so start-up draws are counted right."""

    def __init__(
        self,
        opened: OpenStudy,
        space: Space,
        settings: SearchSettings,
        scheduler: ReplayedScheduler,
        observers: Observers,
        keep: Keep,
        why_over: Callable[[], str] = lambda: "",
        most_live: Callable[[], int] | None = None,
    ) -> None:
        """Serve a study.

        Args:
            opened: the study.
            space: what is searched.
            settings: the number of trials, and how many run at once.
            scheduler: knows which trials were stopped by their last report before the search ended.
            observers: get all events.
            keep: writes the prompt of a trial that reached its full budget.
            why_over: says, in words, why no trial may begin any more; empty as long as one may.
            most_live: how many trials may run or be prepared at once; None = as many as the settings say.
        """
        super().__init__(metric=METRIC, mode="max")
        self._opened, self._study = opened, opened.study
        self._space = space
        self._settings = settings
        self._scheduler = scheduler
        self._observers = observers
        self._why_over = why_over
        self._most_live = most_live or (lambda: settings.in_flight + settings.staged)
        self._running: dict[str, Running] = {}
        self._index = TrialIndex(self._study.get_trials(deepcopy=False), KEPT)
        self._recorder = Recorder(opened, settings, self._index, observers, keep)
        if not self._index.created:
            for params in settings.first_trials:  # a search stopped before its first trial may have enqueued some
                self._study.enqueue_trial(dict(params), skip_if_exists=True)
        self._waiting: deque[Running] = deque()
        for number in self._index.running:
            self._take_up(number)

    def suggest(self, trial_id: str) -> Any:
        """The config of the next trial; None if none may start now, FINISHED if none is left."""
        if len(self._running) >= self._most_live():
            return None
        if self._why_over():
            self._end_waiting()
        running = self._waiting.popleft() if self._waiting else self._asked()
        if running is None:
            return None if self._running else Searcher.FINISHED  # a running trial may still need a retry
        self._running[trial_id] = running
        self._announce(running)
        request = self._settings.request(running.number, running.params, running.seed, self._recorder.position)
        return {NUMBER: running.number, SEEN: running.seen, REQUEST: request}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Store a report in the study at once, so that a killed search loses none."""
        keep = self._recorder.measured if result.get(INTERIM) else self._recorder.report
        keep(self._running[trial_id], result)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Record in the study how a trial ended."""
        running = self._running.pop(trial_id)
        if result is not None and TIME in result:
            self._recorder.report(running, result)
        if diverged := str((result or {}).get("diverged", "")):
            self._recorder.ended(running, TrialState.PRUNED if running.reported else TrialState.FAIL, diverged)
        elif max(running.reported, default=0) >= self._settings.budget:
            self._recorder.ended(running, TrialState.COMPLETE, "", result or {})
        else:
            self._recorder.ended(running, TrialState.PRUNED, OVER if self._why_over() else STOPPED)

    def on_trial_failed(self, trial_id: str, error: BaseException) -> None:
        """Continue a trial whose worker was lost; retry a trial whose own run raised, or record that it failed.

        Where the disk is full, which is no fault of the trial, nothing else is asked for until it has room.

        Raises:
            StudyError: a trial finds the disk full again and again, though there seems to be room.
        """
        running = self._running.pop(trial_id)
        if is_of_full_disk(error):
            running.found_full += 1
            check_room(f"trial {running.number}", error, running.found_full, self._settings.folder)
            self._waiting.append(running)
            return
        if is_worker_lost(error):
            self._waiting.append(running)
            return
        reason = self._reason(running.number, error)
        earlier = self._opened.frozen(running.number).user_attrs.get(FAILURES, [])
        running.trial.set_user_attr(FAILURES, [*earlier, reason])
        if may_try_again(error, len(earlier), self._settings.retries):
            self._waiting.append(running)
        else:
            self._recorder.ended(running, TrialState.FAIL, reason)

    def _end_waiting(self) -> None:
        """End those that wait to go on, as live trials end when the search is over, at their last reports.

        One that never reported stays as it is, for a start that may spend more: nothing is known of it.
        """
        for running in self._waiting:
            if running.reported:
                self._announce(running)
                self._recorder.ended(running, TrialState.PRUNED, OVER)
        self._waiting.clear()

    def _reason(self, number: int, error: BaseException) -> str:
        """The exception of a run in one line, with the file of its traceback."""
        cause, log = cause_of(error), self._settings.trial_log(number)
        where = f"; its traceback is in {log}" if log.exists() else ""
        return f"{type(cause).__name__}: {' '.join(str(cause).split())[:500]}{where}"

    def __getstate__(self) -> dict[str, Any]:
        """Pickle nothing: Tune would use it for `Tuner.restore` alone, and the study is on disk."""
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the study is on disk."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore: a continued search reads the study."""

    def _take_up(self, number: int) -> None:
        """Queue a trial that a stopped search left, or record its end if its reports show that it had ended."""
        self._study.sampler = self._sampler(number)  # a trial that was stopped while it was drawn is drawn again
        trial = self._opened.trial_again(number)
        frozen = self._opened.frozen(number)
        if PARAMS not in frozen.user_attrs or SEED not in frozen.user_attrs:  # stopped while it was drawn
            if (drawn := self._drawn(trial)) is not None:
                self._waiting.append(drawn)
            return
        reported, reports = dict(frozen.intermediate_values), dict(frozen.user_attrs.get(REPORTS, {}))
        running = Running(trial, frozen.user_attrs[PARAMS], frozen.user_attrs[SEED], reported, reports)
        running.metrics |= frozen.user_attrs.get(METRICS, {})
        running.measured |= frozen.user_attrs.get(MEASURED, {})
        if max(reported, default=0) >= self._settings.budget:
            self._announce(running)
            self._recorder.ended(running, TrialState.COMPLETE, "", {FACTS: frozen.user_attrs.get(FACTS, {})})
        elif self._scheduler.stopped(number):
            self._announce(running)
            self._recorder.ended(running, TrialState.PRUNED, STOPPED)
        else:
            self._waiting.append(running)

    def _announce(self, running: Running) -> None:
        tags = {"role": "search", "seed": str(running.seed)}
        self._observers.tell("trial_started", running.number, self._space.searched(running.params), tags)

    def _asked(self) -> Running | None:
        """A new trial, up to the total. Settings that were tried before get their results from the study."""
        while not self._why_over() and self._index.created < self._settings.trials:
            self._study.sampler = chosen = self._sampler(self._index.created)
            is_short = isinstance(chosen, BoundedSampler) and self._index.created % LOOK_EVERY
            trial = self._opened.new_trial() if is_short else self._study.ask()
            self._index.begun(trial.number)
            if (running := self._drawn(trial)) is not None:
                return running
        return None

    def _sampler(self, asked: int) -> optuna.samplers.BaseSampler:
        """The sampler of the trial before which `asked` others were drawn."""
        chosen = self._settings.sampler
        inner = sampler(chosen, self._settings.seed, asked)
        if not (self._index.is_large and chosen.name in BOUNDED):
            return inner
        live = [self._opened.frozen(number) for number in self._index.running]
        return BoundedSampler(inner, [*self._index.seen_by_sampler(), *live])

    def _drawn(self, trial: optuna.Trial) -> Running | None:
        """A trial with its parameters; None if a finished trial has the same, whose results are copied."""
        params = self._space.suggest(trial)
        known = self._index.twin(params)
        trial.set_user_attr(PARAMS, params)
        if known is None:
            seed = trial_seed(self._settings.seed, trial.number)
            trial.set_user_attr(SEED, seed)
            shutil.rmtree(self._settings.trial_folder(trial.number), ignore_errors=True)  # of a study now gone
            return Running(trial, params, seed)
        trial.set_user_attr(REASON, f"same settings as trial {known.number}")
        trial.set_user_attr(TWIN_OF, known.number)
        for seen, value in known.intermediate_values.items():
            trial.report(value, seen)
        complete = known.value if known.state == TrialState.COMPLETE else None
        self._index.ended(self._study.tell(trial, complete, state=known.state))
        self._observers.tell("copied", trial.number, known.state.name)
        return None
