"""What the other machines of a real cluster say of themselves; one that is lost says no more."""

import json
import sys
from pathlib import Path

import pytest

from tests.cluster.processes import session, wait_for
from tests.cluster.simulated import SimulatedCluster

pytestmark = [pytest.mark.slow, pytest.mark.long]
ROOT = Path(__file__).parents[2]
OF_EACH = {"cpu_utilization_percentage", "system_memory_usage_megabytes", "disk_usage_percentage"}
PROGRAM = """
import json, sys, time, ray
from sp_search.search.cluster.node_metrics import NodeMetrics
from sp_search.search.cluster.session import ray_session
metrics = NodeMetrics()
assert metrics.sample() == {} and not ray.is_initialized(), "no Ray, no machines, and none is started"
with ray_session(sys.argv[1], 0):
    while True:
        print(json.dumps(metrics.sample()), flush=True)
        time.sleep(0.2)
"""


def test_every_other_machine_is_asked_as_long_as_it_lives(tmp_path):
    cluster, said = SimulatedCluster(), tmp_path / "said"

    def last():
        lines = said.read_text().splitlines()
        return json.loads(lines[-1]) if lines and lines[-1].endswith("}") else {}

    try:
        cluster.add(2)
        command = [sys.executable, "-c", PROGRAM, cluster.address]
        with said.open("w") as out, session(command, cwd=ROOT, env=cluster.env, stdout=out) as asking:
            wait_for(lambda: len(last()) == 2, asking)
            both = last()
            cluster.lose(1)
            wait_for(lambda: len(last()) == 1, asking)
            left = last()
    finally:
        cluster.close()
    assert all(of_one.keys() >= OF_EACH for of_one in both.values())
    assert all(0 <= of_one["cpu_utilization_percentage"] <= 100 for of_one in both.values())
    assert left.keys() < both.keys()
