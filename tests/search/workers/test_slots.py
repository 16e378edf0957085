"""Seats: who sits where, and who moves when nobody waits any more."""

from functools import partial

import pytest
import ray

from sp_search.search.base.protocol import Terms
from sp_search.search.workers.slots import Seats
from sp_search.search.workers.worker import Worker
from tests.search.fake_pack import FakePack, curve
from tests.search.searches import settings


class Handle:
    """A worker's actor: remembers what was asked of it."""

    def __init__(self):
        self.calls = []

    def __getattr__(self, method):
        return type("Method", (), {"remote": lambda _, *arguments: self.calls.append((method, *arguments))})()


def terms(number):
    return Terms(number=number, params={"lr": 0.5}, seed=0, budget=1600, points=(100, 400, 1600), folder="")


@pytest.fixture
def handles(monkeypatch):
    monkeypatch.setattr(ray, "put", lambda value: object())
    return [Handle(), Handle()]


def test_a_trial_sits_on_the_worker_with_the_fewest(handles):
    seats = Seats(handles, slots=2)
    taken = [seats.take(terms(n)) for n in range(4)]
    assert [seat.worker for seat in taken] == [0, 1, 0, 1]
    assert not seats.is_free
    seats.free(taken[1], is_wanted=True)
    assert (seats.is_free, seats.take(terms(4)).worker) == (True, 1)


def test_while_trials_wait_none_moves(handles):
    seats = Seats(handles, slots=2)
    taken = [seats.take(terms(n)) for n in range(4)]
    for seat in (taken[1], taken[3]):
        seats.free(seat, is_wanted=True)
    assert handles[0].calls == []


def test_when_none_waits_the_last_ones_are_shared_evenly(handles):
    seats = Seats(handles, slots=5)
    taken = [seats.take(terms(n)) for n in range(9)]
    for seat in taken[1::2]:  # all four of the second worker
        seats.free(seat, is_wanted=False)
    assert [seat.worker for seat in taken[::2]] == [0, 0, 0, 1, 1]
    moved = [(method, number) for method, number, _ in handles[0].calls]
    assert moved == [("hand_over", 8), ("hand_over", 6)]


def test_cleared_seats_can_all_be_taken_again(handles):
    seats = Seats(handles, slots=1)
    for n in range(2):
        seats.take(terms(n))
    seats.clear()
    assert (seats.is_free, seats.take(terms(2)).worker) == (True, 0)


def test_a_trial_that_moved_leaves_everywhere(handles):
    seats = Seats(handles, slots=2)
    taken = [seats.take(terms(n)) for n in range(4)]
    seats.free(taken[1], is_wanted=False)
    seats.free(taken[3], is_wanted=False)
    seats.leave(taken[2])
    assert [handle.calls[-1] for handle in handles] == [("remove", 2), ("remove", 2)]


@pytest.mark.slow
def test_a_trial_that_moves_between_actors_in_its_training_reports_as_ever(tmp_path):
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        workers = [
            ray.remote(Worker).options(max_concurrency=8).remote(partial(FakePack, pause_s=0.05)) for _ in range(2)
        ]
        seats = Seats(workers, slots=2)
        taken = [seats.take(settings(tmp_path).terms(n, {"lr": 0.5}, 0)) for n in range(3)]
        for seat in taken:
            seats.ask(seat, after=400)
        seats.free(taken[1], is_wanted=False)
        assert taken[2].worker == 1
        told = [seats.next_told()[1] for _ in taken]
        assert [one.report.metrics["valid_accuracy"] for one in told] == [curve({"lr": 0.5}, 1600)] * 3
    finally:
        ray.shutdown()
