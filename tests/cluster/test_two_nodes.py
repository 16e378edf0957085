"""A real cluster of two nodes on this machine, by the script that a user has for it, and a whole search on it."""

import json
import os
import signal
import sys
from pathlib import Path

import pytest

from sp_search.types import STATE_FILE
from tests.cluster.processes import LIMIT_S, ends, family, session, wait_for
from tests.tiny import as_lines, tiny_corpus, tiny_dictionary

pytestmark = [pytest.mark.slow, pytest.mark.long]
ROOT = Path(__file__).parents[2]
SEARCH = [
    "search", "lm=random:2x32x2", "data=data", "study=tiny", "cluster=ray", "cluster.nodes=2", "cluster.slots=2",
    "trials=4", "schedule.budget=1024", "schedule.grace=256", "schedule.batch_size=8", "schedule.chunk_updates=4",
    "schedule.confirm.top=1", "schedule.confirm.seeds=2", "schedule.final.seeds=0", "tracking.enabled=false",
]  # fmt: skip
STRANGER = "from sp_search.search.cluster.session import ray_session\nwith ray_session('auto', 0): pass"
TWICE = 'RAY_AUTH_TOKEN=another "$0" -c "$1" 2> refused; shift; exec "$0" "$@"'


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "data").mkdir()
    for name, split in tiny_corpus(train=200, valid=40, test=40).splits.items():
        (tmp_path / "data" / f"{name}.txt").write_text("\n".join(as_lines(split, tiny_dictionary())) + "\n")
    return tmp_path


def test_a_search_uses_both_nodes_and_outlives_a_worker_but_lets_no_stranger_in(folder):
    python = Path(sys.executable)
    environment = os.environ | {"XDG_CACHE_HOME": str(folder / "cache"), "PYTHONPATH": str(ROOT)}
    environment["PATH"] = f"{python.parent}:{environment['PATH']}"
    command = [ROOT / "cluster" / "laptop.sh", "bash", "-c", TWICE, python, STRANGER, "-m", "sp_search.cli", *SEARCH]
    with session(command, cwd=folder, env=environment) as search:
        wait_for(lambda: any((folder / "runs" / "tiny" / "trials").glob(f"*/{STATE_FILE}")), search)
        workers = actors(search)
        os.kill(max(workers), signal.SIGKILL)
        out, err = search.communicate(timeout=LIMIT_S)
        assert ends(search.pid), "the cluster ended with its command"
    assert search.returncode == 0, err
    assert len(workers) == len(set(workers.values())) == 2, "a worker on each node, whose raylet is its parent"
    summary = json.loads(Path(out.splitlines()[-1]).read_text())
    assert summary["trials"]["failed"] == 0
    assert sum(summary["trials"].values()) == 4
    refused = (folder / "refused").read_text().splitlines()[-1]
    assert "cluster.address: expected a Ray cluster that this machine is a node of, got auto: " in refused


def actors(process):
    """Processes of the search's workers: pid -> pid of the parent."""
    return {pid: parent for pid, (parent, name) in family(process.pid).items() if name.startswith(b"ray::Worker")}
