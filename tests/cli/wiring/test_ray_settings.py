"""The settings of a search on a cluster: sized by its nodes, wherever the search is started."""

from contextlib import nullcontext

import pytest
import torch

from sp_search.cli.settings.compose import load_settings
from sp_search.cli.wiring import ray_settings
from sp_search.cli.wiring.factories import recipe_of
from sp_search.cli.wiring.ray_settings import joined
from sp_search.cli.wiring.search_setup import search_settings
from sp_search.config import Settings
from sp_search.search.cluster.nodes import Node

HEAD = Node("h", "10.0.0.1", cpus=4.0, gpus=0.0)
GPU_NODES = [Node("a", "10.0.0.2", cpus=16.0, gpus=2.0), Node("b", "10.0.0.3", cpus=16.0, gpus=2.0)]


@pytest.fixture
def sized(monkeypatch):
    """What words become on a cluster of such nodes: settings of the search, and recipe of its packs."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)  # the driver has no GPU
    monkeypatch.setattr(ray_settings, "ray_session", lambda address, cpus: nullcontext())

    def size(there, *words):
        waited = []
        monkeypatch.setattr(ray_settings, "nodes", lambda at_least: waited.append(at_least) or there)
        with joined(load_settings(["cluster=ray", *words], Settings)) as config:
            return search_settings(config, "valid_accuracy", (), "print"), recipe_of(config), waited

    return size


def test_a_driver_without_a_gpu_gives_every_gpu_of_the_cluster_a_worker(sized):
    search, recipe, _ = sized([HEAD, *GPU_NODES])
    assert (search.workers, search.cpus_per_worker, search.gpus_per_worker) == (4, 8.0, 1.0)
    assert search.slots == 16
    assert (recipe.device, recipe.threads) == ("cuda", 8)


@pytest.mark.parametrize("words", [["engine.device=cpu"], ["cluster.gpus_per_worker=0"]])
def test_gpus_that_are_not_wanted_are_left_alone(sized, words):
    search, recipe, _ = sized(GPU_NODES, *words)
    assert (search.workers, search.cpus_per_worker, search.gpus_per_worker) == (4, 8.0, 0.0)
    assert search.slots == 5
    assert (recipe.device, recipe.threads) == ("cpu", 8)


def test_nodes_without_gpus_are_not_asked_for_any(sized):
    search, recipe, waited = sized([HEAD], "cluster.nodes=1", "cluster.slots=3")
    assert (search.workers, search.slots, search.gpus_per_worker) == (2, 3, 0.0)
    assert (recipe.device, recipe.threads) == ("cpu", 2)
    assert waited == [1]


def test_without_an_address_this_machine_is_the_cluster():
    config = load_settings(["cluster.address=null"], Settings)
    with joined(config) as same:
        assert same is config


def test_the_address_of_an_mlflow_server_comes_from_the_environment(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert load_settings(["tracking=server"], Settings).tracking.uri == "http://127.0.0.1:5000"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.example.org")
    assert load_settings(["tracking=server"], Settings).tracking.uri == "https://mlflow.example.org"
