"""What a joined cluster has room for, and a study's folder as its nodes see it."""

import re

import pytest

from sp_search.errors import ConfigError
from sp_search.search.cluster.nodes import Node, Share, check_folder, kind_of, look_at, nodes, share
from sp_search.search.cluster.session import ray_session


def machines(*each):
    return [Node(str(n), f"10.0.0.{n}", cpus, gpus) for n, (cpus, gpus) in enumerate(each, start=1)]


@pytest.mark.parametrize(
    ("there", "asked", "found"),
    [
        ([(4.0, 0.0), (4.0, 0.0)], (None, None, 0.0), Share(4, 2.0, 0.0)),
        ([(1.0, 0.0), (1.0, 0.0)], (None, None, 0.0), Share(2, 1.0, 0.0)),
        ([(0.0, 0.0), (8.0, 0.0)], (None, None, 0.0), Share(2, 4.0, 0.0)),
        ([(4.0, 0.0), (8.0, 1.0), (8.0, 1.0)], (None, None, 1.0), Share(2, 8.0, 1.0)),
        ([(16.0, 8.0)], (None, None, 1.0), Share(8, 2.0, 1.0)),
        ([(8.0, 1.0), (8.0, 1.0)], (None, None, 0.5), Share(4, 4.0, 0.5)),
        ([(4.0, 0.0), (4.0, 0.0)], (2, None, 0.0), Share(2, 4.0, 0.0)),
        ([(4.0, 0.0), (4.0, 0.0)], (3, None, 0.0), Share(3, 2.0, 0.0)),
        ([(4.0, 0.0), (4.0, 0.0)], (None, 0.5, 0.0), Share(16, 0.5, 0.0)),
    ],
    ids=[
        "two a node", "no core twice", "a head that lends none", "one a GPU", "eight GPUs", "half a GPU",
        "one a node", "uneven", "as many as fit",
    ],
)  # fmt: skip
def test_workers_are_one_a_gpu_or_two_a_node_that_share_its_cores(there, asked, found):
    assert share(machines(*there), *asked) == found


@pytest.mark.parametrize(
    ("asked", "fault"),
    [
        ((None, None, 1.0), "room for 1 workers of 1 CPUs and 1 GPUs each, got 10.0.0.1 with 4 and 0, 10.0.0.2 with"),
        ((5, 2.0, 0.0), "room for 5 workers of 2 CPUs and 0 GPUs each"),
    ],
)
def test_a_cluster_without_room_is_refused(asked, fault):
    with pytest.raises(ConfigError, match=re.escape(fault)):
        share(machines((4.0, 0.0), (4.0, 0.0)), *asked)


@pytest.mark.slow
def test_a_folder_is_checked_by_every_node_with_its_own_eyes(tmp_path, monkeypatch, capsys):
    with ray_session(None, 1):
        (there,) = nodes(None)
        assert there.cpus == 1
        check_folder(tmp_path)
        assert list(tmp_path.iterdir()) == []
        monkeypatch.chdir(tmp_path)  # the driver's, not its node's
        with pytest.raises(
            ConfigError, match="expected a folder that every node sees as /proc/self/cwd, got from "
        ) as caught:
            check_folder(type(tmp_path)("/proc/self/cwd"))
        assert "No such file" in str(caught.value)
        monkeypatch.setattr("sp_search.search.cluster.nodes.NODES_S", 0.0)
        with pytest.raises(ConfigError, match="expected 2 nodes within 0 s, got 1"):
            nodes(2)
        said = "sp-search: 1 of 2 nodes have joined; waits 0 s at most for the others"
        assert capsys.readouterr().err.splitlines() == [said]


def test_another_folder_of_the_same_name_is_told_from_the_drivers(tmp_path):
    (tmp_path / "left").write_text("a word")
    assert look_at(tmp_path / "left", "a word") == ""
    assert look_at(tmp_path / "left", "another") == "another folder of that name"


def test_no_cluster_is_one_line_that_says_so():
    with (
        pytest.raises(ConfigError, match=r"a node of, got 127\.0\.0\.1:9: .*; see cluster/README\.md"),
        ray_session("127.0.0.1:9", 0),
    ):
        pass


@pytest.mark.parametrize(
    ("labels", "kind"),
    [
        ({}, "cpu"),
        ({"ray.io/accelerator-type": "A100"}, "A100"),
        ({"ray.io/accelerator-type": "A100", "ray.io/node-group": "spot-gpus"}, "spot-gpus"),
        ({"ray.io/accelerator-type": "", "ray.io/node-group": "small"}, "small"),
    ],
)
def test_the_kind_of_a_node_is_its_group_or_its_accelerator(monkeypatch, labels, kind):
    node = {"NodeID": f"of {kind}", "NodeManagerAddress": "10.0.0.1", "Resources": {"CPU": 4.0}, "Alive": True}
    monkeypatch.setattr("ray.nodes", lambda: [node | {"Labels": labels}])
    assert kind_of(f"of {kind}") == kind
    monkeypatch.setattr("ray.nodes", list)
    assert kind_of(f"of {kind}") == kind, "also when it has left"
    assert kind_of("never seen") == "cpu"
