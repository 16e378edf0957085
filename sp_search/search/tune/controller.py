"""Ray Tune's own loop, trial by trial, without a process for each.

Tune starts an actor for every trial, which costs seconds; here the resources that it acquires for one are a slot of a
worker that already runs, and the slot answers as an actor would. The loop, the searcher's and the scheduler's part in
it and the trials' states are Tune's.

This is the only file that takes Tune's inside (`TuneController`, its resource manager, its actor by duck typing),
checked on Ray 2.60; `tests/search/tune/test_controller.py` names what a new version lacks. The public way would be
`tune.Tuner` with one thin actor a slot.
"""

from __future__ import annotations

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


def run_trials(searcher: StudySearcher, scheduler: TrialScheduler, slots: SlotPool, settings: SearchSettings) -> None:
    """Have Tune run all trials that a searcher gives, to their ends.

    Args:
        searcher: gives the trials.
        scheduler: stops some.
        slots: of the workers.
        settings: how many are made ready ahead, what decides, and where Tune keeps an empty folder a trial.

    Raises:
        StudyError: a worker is gone for good.
        Exception: whatever searcher or scheduler raised, as it was raised.
    """
    experiment = Experiment("tune", Trainable, storage_path=str(settings.folder.absolute()))
    controller = _Controller(
        search_alg=_Trials(searcher, experiment),
        scheduler=scheduler,
        metric=METRIC,
        storage=experiment.storage,
        resource_manager_factory=lambda: _SlotManager(slots, settings.metric),
    )
    controller.update_max_pending_trials(max(1, settings.staged))
    while not controller.is_finished():
        try:
            controller.step()
        except TuneError as error:  # Tune makes a text of what its searcher raises
            raise error.__context__ or error from None
        slots.check()
    slots.clear()


class _Controller(TuneController):
    """Tune's loop. The study is the truth: a snapshot of Tune's own would never be read."""

    def checkpoint(self, force: bool = False, wait: bool = False) -> None:
        """Write none."""


class _Trials(SearchAlgorithm):
    """A searcher's trials as Tune takes them. Tune's own wrapper looks the trainable up in Ray six times a trial."""

    def __init__(self, searcher: StudySearcher, experiment: Experiment) -> None:
        self._searcher = searcher
        self._experiment = experiment
        self._metric = METRIC
        self._trials: dict[str, _SlotTrial] = {}

    def next_trial(self) -> Trial | None:
        """A trial, where one may start."""
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
        """A report of a trial that goes on."""
        self._searcher.on_trial_result(trial_id, result)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """The end of a trial; of one whose run raised with what it raised."""
        trial = self._trials.pop(trial_id)
        if error:
            self._searcher.on_trial_failed(trial_id, trial.fault or StudyError("Ray lost the trial's task"))
        else:
            self._searcher.on_trial_complete(trial_id, result)


class _SlotTrial(Trial):
    """A trial whose trainable is a slot; Tune asks for a class, but never makes an object of it."""

    fault: BaseException | None = None  # what its run raised

    def handle_error(self, exc: Any = None) -> None:
        """Keep what its run raised, for the searcher."""
        self.fault = exc
        super().handle_error(exc)

    def get_trainable_cls(self) -> type[Trainable]:
        """Any."""
        return Trainable


class _SlotManager(ResourceManager):
    """Slots as the resources that Tune requests, acquires and frees."""

    def __init__(self, slots: SlotPool, metric: str) -> None:
        self._slots = slots
        self._metric = metric
        self._requested = 0

    def request_resources(self, resource_request: ResourceRequest) -> None:
        """One more trial waits for a slot."""
        self._requested += 1

    def cancel_resource_request(self, resource_request: ResourceRequest) -> None:
        """One fewer."""
        self._requested -= 1

    def has_resources_ready(self, resource_request: ResourceRequest) -> bool:
        """Whether a trial that waits can sit down."""
        return self._requested > 0 and self._slots.is_free

    def acquire_resources(self, resource_request: ResourceRequest) -> AcquiredResources | None:
        """A slot, once Tune says for which trial."""
        self._requested -= 1
        return _AcquiredSlot(resource_request, self._slots, self._metric)

    def free_resources(self, acquired_resource: AcquiredResources) -> None:
        """Take the slot back."""
        assert isinstance(acquired_resource, _AcquiredSlot)
        assert acquired_resource.slot is not None
        self._slots.free(acquired_resource.slot, is_wanted=self._requested > 0)

    def clear(self) -> None:
        """Nothing is held back."""


@dataclass
class _AcquiredSlot(AcquiredResources):
    """Stands for the actor class as well: made `remote`, it gives a trial its slot."""

    slots: SlotPool
    metric: str
    slot: TrialSlot | None = None

    def annotate_remote_entities(self, entities: list[Any]) -> list[Any]:
        """What Tune makes its actor of."""
        return [self]

    def remote(self, config: dict[str, Any], storage: Any) -> _SlotActor:
        """Give the trial of this config a slot."""
        self.slot = self.slots.take(config[REQUEST])
        return _SlotActor(self.slots, self.slot, config[SEEN], self.metric)


class _SlotActor:
    """A slot with the methods of a trial's actor that Tune calls."""

    def __init__(self, slots: SlotPool, slot: TrialSlot, seen: int, metric: str) -> None:
        self._slots, self._slot, self._seen, self._metric = slots, slot, seen, metric
        self._asked: Any = None
        self.train = _Remote(self._train)
        self.stop = _Remote(lambda: slots.leave(slot))
        self.get_auto_filled_metrics = _Remote(lambda debug_metrics_only: {})
        self.__ray_ready__ = _Remote(lambda: slot.ready)

    def _train(self) -> Any:
        """The next report. Tune asks for it when it has the one before."""
        if self._asked is not None:
            self._seen = ray.get(self._asked)[TIME]
        self._asked = self._slots.request_tune_result(self._slot, self._seen, self._metric)
        return self._asked


@dataclass(frozen=True)
class _Remote:
    """A method as Ray's handles have it."""

    remote: Callable[..., Any]
