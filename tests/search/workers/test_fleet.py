"""Workers that follow the nodes of a cluster: with actors, nodes and a clock of its own."""

from types import SimpleNamespace

import pytest
import ray

from sp_search.search.workers.device_time import DeviceTime
from sp_search.search.workers.fleet import FOLLOW_S, Fleet
from sp_search.search.workers.pulse import Pulse


class Actor:
    """A worker's handle. Its pulse is answered at once, or when it has started."""

    def __init__(self, node="a", lives=True):
        self.lives, self.is_killed = lives, False
        self.found = Pulse(7, node, 0.0, False, 1.0, 5, (), 0)
        self.pulse = SimpleNamespace(remote=lambda: self)


class Cluster:
    """How many workers fit, on which nodes; remembers what was started and said."""

    def __init__(self):
        self.fitting, self.nodes, self.started, self.told, self.now_s = 2, {"a", "b"}, [], [], 0.0

    def start(self):
        self.started.append(Actor("c", lives=False))
        return self.started[-1]

    def room(self):
        return self.fitting, self.nodes


@pytest.fixture
def cluster(monkeypatch):
    monkeypatch.setattr(ray, "wait", lambda refs, timeout: ([ref for ref in refs if ref.lives], []))
    monkeypatch.setattr(ray, "get", lambda ref: ref.found)
    monkeypatch.setattr(ray, "kill", lambda actor: setattr(actor, "is_killed", True))
    return Cluster()


def fleet_of(cluster, workers, most=None):
    return Fleet(workers, cluster.start, cluster.room, most, lambda: cluster.now_s, cluster.told.append)


def follow(fleet, cluster, times=1):
    for _ in range(times):
        cluster.now_s += FOLLOW_S
        fleet.check()


def test_a_node_that_joins_gets_a_worker_which_takes_trials_once_it_lives(cluster):
    fleet = fleet_of(cluster, [Actor("a"), Actor("b")])
    cluster.fitting, cluster.nodes = 3, {"a", "b", "c"}
    follow(fleet, cluster, 3)
    assert (len(cluster.started), list(fleet.members)) == (1, [0, 1])
    cluster.started[0].lives = True
    follow(fleet, cluster)
    assert (len(cluster.started), list(fleet.members)) == (1, [0, 1, 2])


def test_the_worker_of_a_lost_node_is_let_go_where_no_other_has_room(cluster):
    workers = [Actor("a"), Actor("b")]
    fleet = fleet_of(cluster, workers)
    follow(fleet, cluster)
    cluster.fitting, cluster.nodes = 1, {"a"}
    follow(fleet, cluster, 2)
    assert [worker.is_killed for worker in workers] == [False, True]
    assert list(fleet.members) == [0]
    assert [line.partition(":")[0] for line in cluster.told] == [
        "node b has left the cluster; 1 are there", "worker 1 is let go",
    ]  # fmt: skip


def test_the_worker_of_a_lost_node_stays_where_another_has_room_for_it(cluster):
    workers = [Actor("a"), Actor("b")]
    fleet = fleet_of(cluster, workers)
    follow(fleet, cluster)
    cluster.nodes = {"a"}  # on which two fit
    follow(fleet, cluster, 2)
    assert list(fleet.members) == [0, 1]
    assert not any(worker.is_killed for worker in workers)


def test_a_fixed_number_of_workers_is_never_exceeded_and_is_reached_again(cluster):
    fleet = fleet_of(cluster, [Actor("a"), Actor("b")], most=2)
    cluster.fitting = 8
    follow(fleet, cluster, 2)
    assert cluster.started == []
    cluster.fitting, cluster.nodes = 1, {"a"}
    follow(fleet, cluster, 2)
    cluster.fitting = 8
    follow(fleet, cluster, 2)
    assert len(cluster.started) == 1


def test_one_that_never_started_goes_first(cluster):
    fleet = fleet_of(cluster, [Actor("a"), Actor("b")])
    cluster.fitting = 3
    follow(fleet, cluster)
    cluster.fitting = 2
    follow(fleet, cluster)
    assert (cluster.started[0].is_killed, list(fleet.members)) == (True, [0, 1])


def test_the_last_worker_stays_also_without_a_node(cluster):
    fleet = fleet_of(cluster, [Actor("a"), Actor("b")])
    follow(fleet, cluster)
    cluster.fitting, cluster.nodes = 0, set()
    follow(fleet, cluster, 3)
    assert len(fleet.members) == 1


def test_at_the_end_all_are_killed_those_that_are_starting_too(cluster):
    workers = [Actor("a")]
    fleet = fleet_of(cluster, workers)
    follow(fleet, cluster)
    fleet.close()
    assert [one.is_killed for one in (*workers, *cluster.started)] == [True, True]


def test_the_time_of_workers_is_counted_by_the_kind_of_their_node_also_of_those_let_go(cluster):
    device_time = DeviceTime({"a": "cpu", "b": "A100"}.__getitem__, lambda: cluster.now_s)
    fleet = Fleet(
        [Actor("a"), Actor("b"), Actor("b")], cluster.start, cluster.room, None, lambda: cluster.now_s,
        cluster.told.append, device_time,
    )  # fmt: skip
    cluster.fitting = 3
    follow(fleet, cluster)
    assert device_time.living == {"cpu": 1, "A100": 2}
    cluster.fitting, cluster.nodes = 1, {"a"}
    follow(fleet, cluster)
    assert device_time.living == {"cpu": 1}, "the node of two of them has left"
    follow(fleet, cluster)
    assert device_time.seconds == {"cpu": 2 * FOLLOW_S, "A100": 2 * FOLLOW_S}
