"""The parts of Tune's inside that the loop stands on; a new Ray that lacks one is named by the test of that part."""

import inspect

import pytest
from ray.air.execution import ResourceManager
from ray.air.execution.resources import AcquiredResources
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial
from ray.tune.search import SearchAlgorithm

from sp_search.search.tune import controller


@pytest.mark.parametrize("name", ["step", "is_finished", "update_max_pending_trials", "checkpoint"])
def test_the_controller_has(name):
    assert callable(getattr(TuneController, name))


@pytest.mark.parametrize("name", ["search_alg", "scheduler", "metric", "storage", "resource_manager_factory"])
def test_the_controller_is_made_with(name):
    assert name in inspect.signature(TuneController.__init__).parameters


def test_a_resource_manager_has_no_more_to_do_than_ours_does():
    assert controller._SlotManager.__abstractmethods__ == frozenset()
    assert ResourceManager.__abstractmethods__ <= set(vars(controller._SlotManager))


def test_acquired_resources_are_asked_for_the_actor_class():
    assert callable(AcquiredResources.annotate_remote_entities)
    assert "resource_request" in inspect.signature(AcquiredResources.__init__).parameters


@pytest.mark.parametrize("name", ["handle_error", "get_trainable_cls", "generate_id"])
def test_a_trial_has(name):
    assert callable(getattr(Trial, name))


@pytest.mark.parametrize("name", ["config", "trial_id", "storage", "stub"])
def test_a_trial_is_made_with(name):
    assert name in inspect.signature(Trial.__init__).parameters


@pytest.mark.parametrize(
    "name", ["next_trial", "on_trial_result", "on_trial_complete", "set_finished", "is_finished"]
)
def test_a_search_algorithm_has(name):
    assert callable(getattr(SearchAlgorithm, name))
