"""A worker that the kernel killed for its memory comes back with a smaller trainer, any other one as it was."""

from types import SimpleNamespace

import pytest
import ray
from ray import cloudpickle

from sp_search.search.workers import trainer as workers_trainer
from sp_search.search.workers.trainer import build_trainer
from tests.search.fake_trainer import FakeTrainer


@pytest.mark.parametrize(
    ("came_back", "kills", "is_small"), [(False, 0, False), (False, 2, False), (True, 0, False), (True, 1, True)]
)
def test_it_is_smaller_where_the_worker_came_back_and_its_cgroup_has_killed(monkeypatch, came_back, kills, is_small):
    context = SimpleNamespace(was_current_actor_reconstructed=came_back)
    monkeypatch.setattr(ray, "get_runtime_context", lambda: context)
    monkeypatch.setattr(ray, "get", lambda shared: shared)
    monkeypatch.setattr(workers_trainer, "killed_for_memory", lambda: kills)
    found = build_trainer(FakeTrainer, cloudpickle.dumps(None))
    assert getattr(found, "is_small", False) is is_small
