"""Nodes that are lost and join in the middle of a search: workers follow them, and every trial ends."""

import json
import sys
from pathlib import Path

import pytest

from tests.cluster.processes import LIMIT_S, session, wait_for
from tests.cluster.simulated import SimulatedCluster

pytestmark = [pytest.mark.slow, pytest.mark.faults]
ROOT = Path(__file__).parents[2]


def test_two_of_four_nodes_are_lost_two_join_and_all_trials_end(tmp_path):
    cluster = SimulatedCluster()
    try:
        cluster.add(4)
        order = {
            "runs": str(tmp_path), "ray_address": cluster.address, "workers": 4, "trials": 80, "pause_s": 0.2,
            "grace": 1600, "save_every_s": 1.0,
        }  # fmt: skip
        command = [sys.executable, "-m", "tests.search.fake_search", json.dumps(order)]
        told = tmp_path / "told"
        with told.open("w") as stderr, session(command, cwd=ROOT, env=cluster.env, stderr=stderr) as search:
            wait_for(lambda: events(tmp_path, "reported"), search)
            cluster.lose(2)
            wait_for(lambda: told.read_text().count("is let go") == 2, search)
            cluster.add(2)
            wait_for(lambda: told.read_text().count(" joins: ") == 2, search)
            assert not events(tmp_path, "summary"), "the search is not over before the nodes are there"
            out, _ = search.communicate(timeout=LIMIT_S)
        assert search.returncode == 0, told.read_text()
    finally:
        cluster.close()
    summary = json.loads(out.splitlines()[-1])
    assert (sum(summary["trials"].values()), summary["trials"]["failed"]) == (80, 0)
    reported = events(tmp_path, "reported")
    assert len(reported) == len(set(reported)), "nothing is trained twice"
    assert all(line.startswith(("sp-search: node ", "sp-search: worker ")) for line in told.read_text().splitlines())


def events(runs, kind):
    path = runs / "events.jsonl"
    lines = map(json.loads, path.read_text().splitlines() if path.exists() else [])
    return [tuple(event[1:]) for event in lines if event[0] == kind]
