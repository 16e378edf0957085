"""Workers that live, stand still, are away for a while, or are gone: with a clock and actors of its own."""

import os
import re
from dataclasses import replace
from types import SimpleNamespace

import pytest
import ray
from ray.exceptions import ActorDiedError, ActorUnavailableError

from sp_search import host
from sp_search.errors import StudyError
from sp_search.search.workers import watchdog
from sp_search.search.workers.pulse import Pulse, WorkClock
from sp_search.search.workers.watchdog import AWAY_S, EVERY_S, SILENT_S, Watchdog

HERE, THERE = "here0000", "there000"


class Actor:
    """A worker's handle: every call is a reference, answered while the worker lives."""

    def __init__(self, node=THERE):
        self.lives, self.asked, self.killed = True, 0, 0
        self.found = Pulse(
            7, node, busy_s=0.0, is_errand=False, longest_s=1.0, chunks=5, trials=(3, 12), killed_for_memory=0
        )
        self.pulse = self

    def remote(self):
        self.asked += 1
        return self


class Clock:
    def __init__(self):
        self.now_s = 0.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def told():
    return []


@pytest.fixture
def clock(monkeypatch):
    def kill(actor, no_restart):
        assert no_restart is False
        actor.killed += 1

    monkeypatch.setattr(ray, "wait", lambda refs, timeout: ([ref for ref in refs if ref.lives], []))
    monkeypatch.setattr(ray, "get", lambda ref: ref.found)
    monkeypatch.setattr(ray, "kill", kill)
    monkeypatch.setattr(ray, "get_runtime_context", lambda: SimpleNamespace(get_node_id=lambda: HERE))
    return Clock()


def watchdog_of(workers, clock, told):
    dog = Watchdog(clock, told.append)
    for number, worker in enumerate(workers):
        dog.watch(number, worker)
    return dog


def watch(dog, clock, seconds):
    for _ in range(int(seconds)):
        clock.now_s += 1
        dog.check()


def test_a_worker_that_is_silent_is_killed_and_its_trials_are_named(clock, told):
    workers = [Actor(), Actor()]
    dog = watchdog_of(workers, clock, told)
    watch(dog, clock, 100)
    workers[1].lives = False
    watch(dog, clock, SILENT_S + 2 * EVERY_S)
    assert [worker.killed for worker in workers] == [0, 1]
    (line,) = told
    assert re.fullmatch(
        r"worker 1 \(process 7 on node there000, trials 3, 12\) has not answered for \d\d s; it is started again, "
        r"and its trials go on from their last saved states",
        line,
    )


def test_a_worker_of_this_machine_is_killed_by_its_process_also_where_that_is_stopped(clock, told, monkeypatch):
    ended = []
    monkeypatch.setattr(os, "kill", lambda pid, how: ended.append((pid, how)))
    worker = Actor(node=HERE)
    dog = watchdog_of([worker], clock, told)
    watch(dog, clock, 20)
    worker.lives = False
    watch(dog, clock, SILENT_S + 2 * EVERY_S)
    assert (ended, worker.killed) == ([(7, 9)], 0)


@pytest.mark.parametrize(
    ("changes", "is_killed"),
    [
        (dict(busy_s=SILENT_S + 1), True),
        (dict(busy_s=SILENT_S - 1), False),
        (dict(busy_s=300.0, longest_s=20.0), False),  # chunks of 20 s are usual there
        (dict(busy_s=401.0, longest_s=20.0), True),
        (dict(busy_s=500.0, chunks=0, longest_s=0.0), False),  # the first chunk fills caches and compiles
        (dict(busy_s=601.0, chunks=0, longest_s=0.0), True),
        (dict(busy_s=3000.0, is_errand=True), False),  # answers a whole split
        (dict(busy_s=3601.0, is_errand=True), True),
    ],
)
def test_an_engine_that_stands_still_is_told_from_one_that_is_slow(clock, told, changes, is_killed):
    worker = Actor()
    worker.found = replace(worker.found, **changes)
    watch(watchdog_of([worker], clock, told), clock, EVERY_S + 1)
    assert worker.killed == int(is_killed)
    assert [f"has been at one step for {changes['busy_s']:.0f} s" in line for line in told] == [True] * is_killed


def test_a_worker_that_is_started_again_may_take_minutes_before_it_is_heard(clock, told):
    worker = Actor()
    dog = watchdog_of([worker], clock, told)
    for _ in range(2):
        watch(dog, clock, 20)
        worker.lives = False
        watch(dog, clock, SILENT_S + AWAY_S - 20)
        worker.lives = True
        watch(dog, clock, 10)
    assert worker.killed == 2


def test_a_worker_that_is_gone_for_good_ends_the_search(clock, told):
    workers = [Actor(), Actor()]
    dog = watchdog_of(workers, clock, told)
    watch(dog, clock, 100)
    workers[1].lives = False
    with pytest.raises(
        StudyError, match=r"expected 2 workers, got no word of one for 600 s, .*; run the same command"
    ):
        watch(dog, clock, SILENT_S + AWAY_S + 30)
    assert workers[1].killed == 1


def test_a_worker_that_stands_still_whenever_it_is_started_ends_the_search(clock, told):
    worker = Actor()
    worker.found = replace(worker.found, busy_s=700.0, chunks=0)
    dog = watchdog_of([worker], clock, told)
    with pytest.raises(StudyError, match=r"expected worker 0 .* to train, but it has been at one step .* 4th time"):
        watch(dog, clock, 100)
    assert worker.killed == 3


def test_a_worker_that_has_trained_in_between_is_killed_as_often_as_need_be(clock, told):
    worker = Actor()
    dog = watchdog_of([worker], clock, told)
    for _ in range(6):
        worker.found = replace(worker.found, busy_s=SILENT_S + 1)
        watch(dog, clock, 6)
        worker.found = replace(worker.found, busy_s=0.0)
        watch(dog, clock, 6)
    assert worker.killed >= 5


def test_a_worker_that_ended_by_itself_is_said(clock, told):
    worker = Actor()
    dog = watchdog_of([worker], clock, told)
    watch(dog, clock, 20)
    worker.found = replace(worker.found, pid=8)
    watch(dog, clock, 20)
    assert told == [
        "worker 0 (process 7 on node there000, trials 3, 12) has ended; it was started again, and its trials go on "
        "from their last saved states"
    ]


def test_a_worker_that_is_killed_for_memory_again_and_again_ends_the_search_with_what_to_lower(clock, told):
    worker = Actor()
    dog = watchdog_of([worker], clock, told)
    for kills in (1, 2):
        watch(dog, clock, 20)
        worker.found = replace(worker.found, pid=7 + kills, killed_for_memory=kills)
    watch(dog, clock, 20)
    assert [
        "the memory of its cgroup is full; it is started again with less: no source states" in line for line in told
    ] == [True, True]
    worker.found = replace(worker.found, pid=20, killed_for_memory=3)
    with pytest.raises(
        StudyError, match=r"expected memory for worker 0 .* killed for that 3 times; lower cluster\.work"
    ):
        watch(dog, clock, 20)


def test_a_machine_that_slept_does_not_take_its_workers_for_dead(clock, told):
    worker = Actor()
    dog = watchdog_of([worker], clock, told)
    watch(dog, clock, 10)
    clock.now_s += 10 * AWAY_S
    dog.check()
    assert worker.killed == 0


def test_workers_are_not_asked_at_every_check(clock, told):
    worker = Actor()
    dog = watchdog_of([worker], clock, told)
    for _ in range(1000):
        clock.now_s += EVERY_S / 100
        dog.check()
    assert worker.asked <= 10


def test_no_process_of_that_number_is_no_fault():
    pid = os.spawnlp(os.P_NOWAIT, "true", "true")
    os.waitpid(pid, 0)
    watchdog._kill(pid)


def test_a_clock_tells_what_its_thread_is_at(monkeypatch):
    now = Clock()
    work = WorkClock(now)
    assert work.pulse(()) == Pulse(os.getpid(), "", 0.0, False, 0.0, 0, (), host.killed_for_memory())
    with work.piece(is_errand=False):
        now.now_s = 4.0
        assert (work.pulse((1,)).busy_s, work.pulse((1,)).is_errand, work.pulse((1,)).trials) == (4.0, False, (1,))
    with work.piece(is_errand=True):
        now.now_s = 9.0
        assert (work.pulse(()).busy_s, work.pulse(()).is_errand) == (5.0, True)
    assert (work.pulse(()).busy_s, work.pulse(()).longest_s, work.pulse(()).chunks) == (0.0, 4.0, 1)


def test_a_worker_whose_start_raises_when_it_is_started_again_ends_the_search(clock, told, monkeypatch):
    def get(ref):
        raise ActorDiedError

    worker = Actor()
    dog = watchdog_of([worker], clock, told)
    watch(dog, clock, 20)
    monkeypatch.setattr(ray, "get", get)
    with pytest.raises(
        StudyError,
        match=r"expected worker 0 to start again, but it is dead: .*; look at its log .*, and run the same",
    ):
        watch(dog, clock, 5 * EVERY_S)


def test_a_worker_that_can_not_be_reached_for_a_while_is_waited_for(clock, told, monkeypatch):
    def get(ref):
        raise ActorUnavailableError("no connection", None)

    worker = Actor()
    dog = watchdog_of([worker], clock, told)
    watch(dog, clock, 20)
    monkeypatch.setattr(ray, "get", get)
    watch(dog, clock, 20 * EVERY_S)
    assert (told, worker.killed) == ([], 0)
