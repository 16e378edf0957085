"""Workers that live, are away for a while, or are gone: with a clock and actors of its own."""

import pytest
import ray

from sp_search.errors import StudyError
from sp_search.search.workers.slots import AWAY_S, EVERY_S, WorkerPulse


class Actor:
    """A worker's handle: every call is a reference, answered while the worker lives."""

    def __init__(self):
        self.lives = True
        self.asked = 0
        self.time_share = self

    def remote(self):
        self.asked += 1
        return self


class Clock:
    def __init__(self):
        self.now_s = 0.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock(monkeypatch):
    monkeypatch.setattr(ray, "wait", lambda refs, timeout: ([ref for ref in refs if ref.lives], []))
    return Clock()


def watch(pulse, clock, seconds):
    for _ in range(int(seconds)):
        clock.now_s += 1
        pulse.check()


def test_a_worker_that_is_gone_for_good_ends_the_search(clock):
    workers = [Actor(), Actor()]
    pulse = WorkerPulse(workers, clock)
    watch(pulse, clock, 100)
    workers[1].lives = False
    watch(pulse, clock, AWAY_S - 10)
    with pytest.raises(
        StudyError, match=r"expected 2 workers, got no word of one for 600 s, .*; run the same command"
    ):
        watch(pulse, clock, 30)


def test_a_worker_that_comes_back_in_time_may_be_away_again(clock):
    worker = Actor()
    pulse = WorkerPulse([worker], clock)
    for _ in range(3):
        worker.lives = False
        watch(pulse, clock, AWAY_S - 10)
        worker.lives = True
        watch(pulse, clock, 10)


def test_a_machine_that_slept_does_not_take_its_workers_for_dead(clock):
    pulse = WorkerPulse([Actor()], clock)
    watch(pulse, clock, 10)
    clock.now_s += 10 * AWAY_S
    pulse.check()


def test_workers_are_not_asked_at_every_check(clock):
    worker = Actor()
    pulse = WorkerPulse([worker], clock)
    for _ in range(1000):
        clock.now_s += EVERY_S / 100
        pulse.check()
    assert worker.asked <= 10
