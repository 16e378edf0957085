"""What `ray_private` takes from Ray's inside is there, and Ray is a version that it was checked on."""

import ray
from ray._private import ray_constants, services

from sp_search.search.cluster.ray_private import CHECKED, cluster_place, no_cluster


def test_ray_is_a_version_whose_inside_was_checked():
    assert ray.__version__.startswith(f"{CHECKED}."), "check search/cluster/ray_private.py and tune/controller.py"


def test_the_switch_that_keeps_ray_on_loopback_is_there_and_is_put_back():
    before = ray_constants.ENABLE_RAY_CLUSTER
    with no_cluster():
        assert ray_constants.ENABLE_RAY_CLUSTER is False
    assert ray_constants.ENABLE_RAY_CLUSTER is before
    assert isinstance(ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR, str)


def test_the_place_of_a_cluster_can_be_looked_up():
    assert services.canonicalize_bootstrap_address("192.0.2.7:6379") == "192.0.2.7:6379"
    assert cluster_place("[::1]:6379")[1] == 6379
