"""What becomes of trials, in the study at once: their reports, how they end, the states that are kept."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from functools import partial
from typing import Any

from optuna.trial import TrialState

from sp_search.files.room import once_there_is_room
from sp_search.search.base.callbacks import Observers, observed
from sp_search.search.base.protocol import FACTS, METRIC, POSITION, TIME
from sp_search.search.base.result import Keep
from sp_search.search.base.settings import SearchSettings
from sp_search.search.study.study import OpenStudy
from sp_search.search.study.trials import REASON, past_reports, stream_position
from sp_search.search.tune.index import TrialIndex
from sp_search.search.tune.running import Running
from sp_search.types import Report


class Recorder:
    """Writes to a study, and tells the observers."""

    def __init__(
        self, opened: OpenStudy, settings: SearchSettings, index: TrialIndex, observers: Observers, keep: Keep
    ) -> None:
        """Go on behind the reports that the study has.

        Args:
            opened: the study.
            settings: of the search.
            index: of the study's trials, which is told of those that end.
            observers: get all events.
            keep: writes the prompt of a trial that reached its full budget.
        """
        self._study, self._settings, self._index = opened.study, settings, index
        self._observers, self._keep = observers, keep
        self._told = len(past_reports(self._study))
        self.position = stream_position(self._study)  # of the stream of batches, behind the last report

    def report(self, running: Running, result: Mapping[str, Any]) -> None:
        """Keep a report, but for one that is there already or has no finite metric."""
        seen, value = int(result[TIME]), float(result[METRIC])
        self.position = max(self.position, int(result.get(POSITION, 0)))
        if seen in running.reported or not math.isfinite(value):
            return
        metrics = observed(result)
        running.report(seen, value, metrics, [self._told, int(result.get(POSITION, 0))])
        self._told += 1
        if FACTS not in running.trial.user_attrs:
            running.trial.set_user_attr(FACTS, dict(result.get(FACTS, ())))
        self._observers.tell("reported", running.number, Report(seen, metrics))

    def measured(self, running: Running, result: Mapping[str, Any]) -> None:
        """Keep what was measured between two reports: beside them, for no sampler and no pruner is to see it."""
        seen = int(result[TIME])
        if str(seen) in running.measured or not math.isfinite(result[METRIC]):
            return
        metrics = observed(result)
        running.measure(seen, metrics)
        self._observers.tell("measured", running.number, Report(seen, metrics))

    def ended(
        self, running: Running, state: TrialState, reason: str, result: Mapping[str, Any] | None = None
    ) -> None:
        """Keep how a trial ended.

        Args:
            running: the trial.
            state: COMPLETE at the full budget, PRUNED, or FAIL.
            reason: why it ended early, in words; empty where it did not.
            result: its last report, with what its state is.
        """
        if reason:
            running.trial.set_user_attr(REASON, reason)
        value = running.reported[max(running.reported)] if state == TrialState.COMPLETE else None
        self._index.ended(self._study.tell(running.trial, value, state=state))
        if state == TrialState.COMPLETE:
            self._keep_prompt(running, result or {})
        self._drop_losers()
        last = {self._settings.metric: running.reported[max(running.reported)]} if running.reported else {}
        self._observers.tell("trial_finished", running.number, state.name, reason, last)

    def _keep_prompt(self, running: Running, result: Mapping[str, Any]) -> None:
        finished = running.result(self._settings, result)
        if (folder := once_there_is_room(self._settings.folder, partial(self._keep, finished))) is not None:
            self._observers.tell("artifact", running.number, folder, "prompt")

    def _drop_losers(self) -> None:
        """Delete the states of ended trials except the best few. The study keeps their reports."""
        for number, folder in self._settings.trial_folders().items():
            if number not in self._index.kept and self._index.has_ended(number):
                shutil.rmtree(folder, ignore_errors=True)  # files that NFS still holds open go later
