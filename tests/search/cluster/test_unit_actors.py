"""Recordings through Ray Data's actors, against the unitizer itself."""

import dataclasses

import pytest
import ray

from sp_search.errors import CheckpointError, ConfigError
from sp_search.search.cluster.unit_actors import hear_on_cluster
from tests.units.speech import recipe_of_another_model, recordings, unitizer_recipe

pytestmark = pytest.mark.slow
HERE = {"address": None, "workers": 2, "cpus": 1.0, "gpus": 0.0}


def test_actors_hear_what_the_unitizer_hears_and_faults_come_back(tmp_path):
    corpus = recordings(tmp_path, count=40)
    corpus[7].path.write_text("no audio")
    corpus[9] = dataclasses.replace(corpus[9], start_s=0.1, duration_s=0.1)
    work = [(recording.id, recording) for recording in corpus]
    unitize = unitizer_recipe()()
    wanted = {heard.key: heard for heard in (unitize(*item) for item in work)}
    assert {heard.key: heard for heard in hear_on_cluster(unitizer_recipe(), iter(work), **HERE)} == wanted
    assert not ray.is_initialized()


def test_a_bad_checkpoint_is_told_of_by_its_name(in_ray, tmp_path):
    of_model = recipe_of_another_model(tmp_path)
    work = [(recording.id, recording) for recording in recordings(tmp_path, count=1)]
    with pytest.raises(CheckpointError, match=r"expected the hubert model of sha256 000000000000\.\.\., got .*h\.pt"):
        list(hear_on_cluster(of_model, work, **HERE))


def test_a_cluster_without_room_is_refused(in_ray, tmp_path):
    work = [(recording.id, recording) for recording in recordings(tmp_path, count=1)]
    with pytest.raises(ConfigError, match=r"room for 1 workers of 1 CPUs and 4 GPUs each, got [\d.]+ with \d and 0"):
        list(hear_on_cluster(unitizer_recipe(), work, **HERE | {"workers": None, "gpus": 4.0}))
    assert list(hear_on_cluster(unitizer_recipe(), [], **HERE)) == []
