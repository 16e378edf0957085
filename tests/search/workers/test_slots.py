"""Seats: who sits where, and who moves when nobody waits any more."""

from functools import partial
from types import SimpleNamespace

import pytest
import ray
from ray.exceptions import ActorDiedError, RayTaskError

from sp_search.errors import StudyError
from sp_search.search.base.protocol import TrialRequest
from sp_search.search.workers.fleet import Fleet
from sp_search.search.workers.slots import SlotPool, is_worker_lost
from sp_search.search.workers.worker import Worker
from tests.search.fake_trainer import FakeTrainer, curve
from tests.search.searches import settings


class Handle:
    """A worker's actor: remembers what was asked of it."""

    def __init__(self):
        self.calls, self.answer = [], None

    def __getattr__(self, method):
        def remote(*arguments):
            if method != "pulse":
                self.calls.append((method, *arguments))
            return self.answer

        return SimpleNamespace(remote=remote)


def wanted(number):
    return TrialRequest(
        number=number, params={"lr": 0.5}, seed=0, budget=1600, points=(100, 400, 1600), folder="", study="s"
    )


@pytest.fixture
def handles(monkeypatch):
    monkeypatch.setattr(ray, "put", lambda value: object())
    return [Handle(), Handle()]


def test_a_trial_sits_on_the_worker_with_the_fewest(handles):
    slots = SlotPool(Fleet(handles), slots=2)
    taken = [slots.take(wanted(n)) for n in range(4)]
    assert [slot.worker for slot in taken] == [0, 1, 0, 1]
    assert not slots.is_free
    slots.free(taken[1], is_wanted=True)
    assert (slots.is_free, slots.take(wanted(4)).worker) == (True, 1)


def test_while_trials_wait_none_moves(handles):
    slots = SlotPool(Fleet(handles), slots=2)
    taken = [slots.take(wanted(n)) for n in range(4)]
    for slot in (taken[1], taken[3]):
        slots.free(slot, is_wanted=True)
    assert handles[0].calls == []


def test_when_none_waits_the_last_ones_are_shared_evenly(handles):
    slots = SlotPool(Fleet(handles), slots=5)
    taken = [slots.take(wanted(n)) for n in range(9)]
    for slot in taken[1::2]:  # all four of the second worker
        slots.free(slot, is_wanted=False)
    assert [slot.worker for slot in taken[::2]] == [0, 0, 0, 1, 1]
    moved = [(method, number) for method, number, _ in handles[0].calls]
    assert moved == [("hand_over", 8), ("hand_over", 6)]


def test_cleared_seats_can_all_be_taken_again(handles):
    slots = SlotPool(Fleet(handles), slots=1)
    for n in range(2):
        slots.take(wanted(n))
    slots.clear()
    assert (slots.is_free, slots.take(wanted(2)).worker) == (True, 0)


def test_a_trial_that_moved_leaves_everywhere(handles):
    slots = SlotPool(Fleet(handles), slots=2)
    taken = [slots.take(wanted(n)) for n in range(4)]
    slots.free(taken[1], is_wanted=False)
    slots.free(taken[3], is_wanted=False)
    slots.leave(taken[2])
    assert [handle.calls[-1] for handle in handles] == [("remove", 2), ("remove", 2)]


def test_a_trial_whose_worker_was_let_go_is_asked_of_another_one(handles, monkeypatch):
    slots = SlotPool(fleet := Fleet(handles), slots=1)
    slot = slots.take(wanted(7))
    slots.ask(slot, after=100)
    del fleet.members[0]
    answers = {None: ActorDiedError(), "again": "the report"}
    monkeypatch.setattr(ray, "wait", lambda refs, num_returns, timeout: (refs, []))
    monkeypatch.setattr(ray, "get", lambda ref: _raise_or_return(answers[ref]))
    handles[1].answer = "again"
    assert slots.next_report() == (slot, "the report")
    assert handles[1].calls == [("report", wanted(7), 100)]
    assert slots.leave(slot) is not None


@pytest.mark.parametrize(
    ("error", "is_lost"),
    [
        (ActorDiedError(), True),
        (RayTaskError("report", "of another worker", ActorDiedError()), True),  # a trial that was handed over
        (RayTaskError("report", "its own", RuntimeError("no memory")), False),
        (RuntimeError("no memory"), False),
    ],
)
def test_a_lost_worker_is_told_from_a_run_that_failed(error, is_lost):
    assert is_worker_lost(error) == is_lost


def _raise_or_return(found):
    if isinstance(found, Exception):
        raise found
    return found


@pytest.mark.slow
def test_a_trial_that_moves_between_actors_in_its_training_reports_as_ever(tmp_path):
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        workers = [
            ray.remote(Worker).options(max_concurrency=8).remote(partial(FakeTrainer, pause_s=0.05)) for _ in range(2)
        ]
        slots = SlotPool(Fleet(workers), slots=2)
        taken = [slots.take(settings(tmp_path).request(n, {"lr": 0.5}, 0)) for n in range(3)]
        for slot in taken:
            slots.ask(slot, after=400)
        slots.free(taken[1], is_wanted=False)
        assert taken[2].worker == 1
        told = [slots.next_report()[1] for _ in taken]
        assert [one.report.metrics["valid_accuracy"] for one in told] == [curve({"lr": 0.5}, 1600)] * 3
    finally:
        ray.shutdown()


def test_a_trial_whose_worker_was_let_go_before_its_first_request_goes_to_another_one(handles):
    fleet = Fleet(handles)
    slots = SlotPool(fleet, slots=2)
    slot = slots.take(wanted(0))
    del fleet.members[0]
    handles[1].answer = "a reference"
    assert slots.request_tune_result(slot, 0, "valid_accuracy") == "a reference"
    assert (slot.worker, slot.been_at) == (1, {0, 1})
    assert handles[1].calls == [("tune_result", slot.request, 0, "valid_accuracy")]


def test_workers_are_watched_while_they_answer(handles, monkeypatch):
    """One that hangs there ends the search, or is started again."""
    monkeypatch.setattr(ray, "wait", lambda refs, **how: ([], refs))
    slots, checked = SlotPool(Fleet(handles), slots=2), []

    def check():
        checked.append(len(checked))
        if len(checked) == 3:
            raise StudyError("gone for good")

    slots.check = check
    with pytest.raises(StudyError, match="gone for good"):
        slots.all_of([object()])


def test_answers_come_in_the_order_in_which_they_were_asked_and_a_lost_worker_is_named(handles, monkeypatch):
    slots = SlotPool(Fleet(handles), slots=2)
    monkeypatch.setattr(ray, "wait", lambda refs, **how: (refs, []))
    monkeypatch.setattr(ray, "get", lambda refs: [ref + 1 for ref in refs])
    assert slots.all_of([3, 1]) == [4, 2]

    def lost(refs):
        raise ActorDiedError

    monkeypatch.setattr(ray, "get", lost)
    with pytest.raises(StudyError, match=r"expected all workers to answer, but one was lost, .*; run the same"):
        slots.all_of([3, 1])
