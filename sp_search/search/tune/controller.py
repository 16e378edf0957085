"""Runs Ray Tune's own loop without a process for each trial.

Tune starts an actor for every trial, which takes seconds. Here a trial gets a slot of a running worker as its
resource, and the slot has the methods of an actor that Tune calls. The loop, the calls to searcher and scheduler, and
the states of trials are Tune's.

This is the only file that uses private parts of Tune (`TuneController`, its resource manager, its actor by duck
typing), checked on Ray 2.60. `tests/search/tune/test_controller.py` names the part that a new version lacks. The
public way would be `tune.Tuner` with one thin actor per slot.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ray
from ray.air.execution import ResourceManager
from ray.air.execution.resources import AcquiredResources, ResourceRequest
from ray.tune import Experiment, Trainable, TuneError
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import SearchAlgorithm

from sp_search.errors import StudyError
from sp_search.search.base.protocol import METRIC, TIME
from sp_search.search.base.settings import SearchSettings
from sp_search.search.tune.optuna_searcher import REQUEST, SEEN, StudySearcher
from sp_search.search.workers.slots import SlotPool, TrialSlot


def run_trials(
    searcher: StudySearcher,
    scheduler: TrialScheduler,
    slots: SlotPool,
    settings: SearchSettings,
    is_over: Callable[[], object] = lambda: False,
) -> None:
    """Let Tune run all trials of a searcher to their ends.

    Args:
        searcher: proposes the trials.
        scheduler: stops some of them.
        slots: of the workers.
        settings: the deciding metric, and the folder for Tune's empty folders.
        is_over: whether the search is over; its live trials then report behind their next chunk, and stop.

    Raises:
        StudyError: a worker is gone for good.
        Exception: the one that the searcher or the scheduler raised.
    """
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # it would print a traceback for each run that fails
    experiment = Experiment("tune", Trainable, storage_path=str(settings.folder.absolute()))
    controller = _Controller(
        search_alg=_Trials(searcher, experiment),
        scheduler=scheduler,
        metric=METRIC,
        storage=experiment.storage,
        resource_manager_factory=lambda: _SlotManager(slots, settings.metric),
    )
    while not controller.is_finished():
        controller.update_max_pending_trials(max(1, slots.staged))  # of the workers that there are now
        try:
            controller.step()
        except TuneError as error:  # Tune turns an exception of its searcher into text
            raise error.__context__ or error from None
        slots.check()
        if is_over():
            slots.cut_short()
    slots.clear()


class _Controller(TuneController):
    """Tune's loop without its snapshots: everything is in the study, and a snapshot would never be read."""

    def checkpoint(self, force: bool = False, wait: bool = False) -> None:
        """Write no snapshot."""


class _Trials(SearchAlgorithm):
    """Wraps a searcher as Tune needs it. Tune's own wrapper looks the trainable up in Ray six times per trial."""

    def __init__(self, searcher: StudySearcher, experiment: Experiment) -> None:
        self._searcher = searcher
        self._experiment = experiment
        self._metric = METRIC
        self._trials: dict[str, _SlotTrial] = {}

    def next_trial(self) -> Trial | None:
        """The next trial, if one may start now."""
        trial_id = Trial.generate_id()
        config = self._searcher.suggest(trial_id)
        if config == StudySearcher.FINISHED:
            self.set_finished()
        if not isinstance(config, dict):
            return None
        trial = _SlotTrial("Trainable", config=config, trial_id=trial_id, storage=self._experiment.storage, stub=True)
        self._trials[trial_id] = trial
        return trial

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Pass on a report of a trial that continues."""
        self._searcher.on_trial_result(trial_id, result)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Pass on the end of a trial; for a failed run, the exception too."""
        trial = self._trials.pop(trial_id)
        if error:
            self._searcher.on_trial_failed(trial_id, trial.fault or StudyError("Ray lost the trial's task"))
        else:
            self._searcher.on_trial_complete(trial_id, result)


class _SlotTrial(Trial):
    """A trial whose trainable is a slot. Tune wants a class, but never creates an object of it."""

    fault: BaseException | None = None  # the exception of its run

    def handle_error(self, exc: Any = None) -> None:
        """Keep the exception of its run for the searcher."""
        self.fault = exc
        super().handle_error(exc)

    def get_trainable_cls(self) -> type[Trainable]:
        """A placeholder; it is never used."""
        return Trainable


class _SlotManager(ResourceManager):
    """Gives slots to Tune as its resources: requested, acquired and freed."""

    def __init__(self, slots: SlotPool, metric: str) -> None:
        self._slots = slots
        self._metric = metric
        self._requested = 0

    def request_resources(self, resource_request: ResourceRequest) -> None:
        """Count one more trial that waits for a slot."""
        self._requested += 1

    def cancel_resource_request(self, resource_request: ResourceRequest) -> None:
        """Count one fewer."""
        self._requested -= 1

    def has_resources_ready(self, resource_request: ResourceRequest) -> bool:
        """Whether a waiting trial can have a slot now."""
        return self._requested > 0 and self._slots.is_free

    def acquire_resources(self, resource_request: ResourceRequest) -> AcquiredResources | None:
        """Promise a slot; it is taken when Tune names the trial."""
        self._requested -= 1
        return _AcquiredSlot(resource_request, self._slots, self._metric)

    def free_resources(self, acquired_resource: AcquiredResources) -> None:
        """Take the slot back."""
        assert isinstance(acquired_resource, _AcquiredSlot)
        assert acquired_resource.slot is not None
        self._slots.free(acquired_resource.slot, is_wanted=self._requested > 0)

    def clear(self) -> None:
        """Do nothing: no resources are kept in reserve."""


@dataclass
class _AcquiredSlot(AcquiredResources):
    """Also stands for the actor class: its `remote` gives a trial its slot."""

    slots: SlotPool
    metric: str
    slot: TrialSlot | None = None

    def annotate_remote_entities(self, entities: list[Any]) -> list[Any]:
        """Return this object in place of the actor class."""
        return [self]

    def remote(self, config: dict[str, Any], storage: Any) -> _SlotActor:
        """Take a slot for the trial with this config."""
        self.slot = self.slots.take(config[REQUEST])
        return _SlotActor(self.slots, self.slot, config[SEEN], self.metric)


class _SlotActor:
    """A slot with those methods of an actor that Tune calls."""

    def __init__(self, slots: SlotPool, slot: TrialSlot, seen: int, metric: str) -> None:
        self._slots, self._slot, self._seen, self._metric = slots, slot, seen, metric
        self._asked: Any = None
        self.train = _Remote(self._train)
        self.stop = _Remote(lambda: slots.leave(slot))
        self.get_auto_filled_metrics = _Remote(lambda debug_metrics_only: {})
        self.__ray_ready__ = _Remote(lambda: slot.ready)

    def _train(self) -> Any:
        """Request the next report. Tune calls this when it has the one before."""
        if self._asked is not None:
            self._seen = ray.get(self._asked)[TIME]
        self._asked = self._slots.request_tune_result(self._slot, self._seen, self._metric)
        return self._asked


@dataclass(frozen=True)
class _Remote:
    """A method with a `remote`, as on a Ray actor handle."""

    remote: Callable[..., Any]
