"""A real node is looked at by a process of its own."""

import os
from dataclasses import replace

import pytest

from sp_search.search.cluster.checkup import checkups, own_checkup
from sp_search.search.cluster.nodes import Node, nodes
from sp_search.search.cluster.session import ray_session

PACKAGES = ("torch", "no-such-package")


def test_this_process_knows_its_program_and_limits():
    own = own_checkup(PACKAGES)
    assert own.packages["no-such-package"] == ""
    assert own.packages["torch"]
    assert (own.ahead_s, own.folder_fault) == (0.0, "")
    assert own.open_files > 0
    assert own.memory > 1 << 28


@pytest.mark.slow
def test_a_node_is_as_this_process_and_sees_the_folder_with_its_own_eyes(tmp_path, monkeypatch):
    with ray_session(None, 1):
        there = nodes(None)
        ((node, found),) = checkups(there, tmp_path, PACKAGES).items()
        assert node == there[0]
        assert abs(found.ahead_s) <= found.doubt_s + 0.05
        assert found.folder_fault == ""
        assert replace(found, ahead_s=0.0, doubt_s=0.0, open_files=0) == replace(own_checkup(PACKAGES), open_files=0)
        assert list(tmp_path.iterdir()) == []
        monkeypatch.chdir(tmp_path)  # the driver's, not its node's
        ((_, elsewhere),) = checkups(there, type(tmp_path)("/proc/self/cwd"), PACKAGES).items()
        assert "No such file" in elsewhere.folder_fault
        assert os.listdir(tmp_path) == []


@pytest.mark.slow
def test_a_node_that_is_gone_is_told_as_such(tmp_path):
    with ray_session(None, 1):
        gone = Node("0" * 56, "10.0.0.9", 1.0, 0.0)
        ((_, why),) = checkups([gone], tmp_path, PACKAGES).items()
        assert isinstance(why, str)
        assert why
