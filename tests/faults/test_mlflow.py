"""An MLflow server that is away for a whole search, comes and goes, or answers slowly."""

import time

import pytest

from tests.faults.harness import Search, ended, moments
from tests.faults.slow_proxy import SlowProxy
from tests.tracking.servers import Server, free_port

pytestmark = [pytest.mark.slow, pytest.mark.faults]
STALL_S = 10.0
"""Shorter than all requests of the study take together at half a second each, and longer than one."""


@pytest.fixture
def server(empty_database, tmp_path):
    server = Server(empty_database, tmp_path / "server")
    yield server
    server.kill()


def test_a_server_that_was_away_for_the_whole_search_gets_all_of_it_though_it_is_slow(
    empty_database, tmp_path, undisturbed, server
):
    port = free_port()
    search = Search(tmp_path / "runs", empty_database, database=server.database, uri=f"http://127.0.0.1:{port}")
    said = search.end()
    assert [line.split(" at ")[0] for line in said.splitlines()] == ["MLflow", "MLflow"]  # away; not taken yet
    server.start()
    proxy, told = SlowProxy(port, int(server.url.rpartition(":")[2]), delay_s=0.5), []
    try:
        assert search.outcome(stall_s=STALL_S, tell=told.append) == undisturbed
    finally:
        proxy.close()
    assert told
    assert all(line.startswith("study s: ") for line in told)


def test_a_server_that_comes_and_goes_gets_all_of_it(empty_database, tmp_path, undisturbed, server):
    search = Search(tmp_path / "runs", empty_database, database=server.database, uri=server.url)
    server.start()
    with search.start(pause_s=0.1) as process:
        for at in moments("server lost", 2, 4.0):
            if search.wait_for_events(process, 3 + int(at)):
                server.kill()
                time.sleep(at)
                server.start()
        ended(process)
    assert search.outcome() == undisturbed
