"""The worker: trials in lock-step, joining and leaving between chunks, none of them able to hold the others up."""

import time

import pytest

from sp_search.search.base.protocol import METRIC, TIME
from sp_search.search.workers.worker import PATIENCE_S, Worker
from tests.search.fake_trainer import curve
from tests.search.workers.watched import FACTS, PARAMS, WAIT_S, Watched, seen, until


def test_a_trial_alone_gets_its_report_and_its_state_is_saved_first(worker, wanted, tmp_path):
    told = worker.report(wanted(1, points=(300, 1600)), 0)
    assert (seen(told), told.report.metrics["valid_accuracy"]) == (300, curve(PARAMS, 300))
    assert (tmp_path / "trials" / "1" / "state.pt").exists()


def test_a_report_tells_what_a_trial_weighs(worker, wanted):
    assert worker.report(wanted(1), 0).facts == FACTS


def test_tune_is_told_what_decides_and_whether_it_was_the_last(worker, wanted):
    assert worker.tune_result(wanted(1), 0, "valid_accuracy") == {
        TIME: 100, METRIC: curve(PARAMS, 100), "valid_accuracy": curve(PARAMS, 100),
        "valid_loss": 1 - curve(PARAMS, 100), "diverged": "", "done": False, "facts": tuple(FACTS.items()),
        "position": 1, "interim": False,
    }  # fmt: skip
    assert worker.tune_result(wanted(1), 400, "valid_accuracy")["done"]


def test_trials_that_ask_in_time_are_in_every_chunk_together(worker, trainer, wanted, calls):
    trainer.gate.clear()
    long = calls.submit(worker.report, wanted(2, points=(300, 1600)), 0)
    until(lambda: trainer.joined == [2])
    waiting = calls.submit(worker.report, wanted(1), 0)
    trainer.gate.set()
    assert seen(waiting.result(WAIT_S)) == 100
    for point in (100, 200):
        assert seen(worker.report(wanted(1), point)) == point + 100
    assert seen(long.result(WAIT_S)) == 300
    assert trainer.chunks == [[2], [1, 2], [1, 2], [1]]


def test_a_trial_whose_next_word_is_late_misses_a_chunk_and_is_in_the_next(worker, trainer, wanted, calls):
    worker.report(wanted(1), 0)
    began = time.monotonic()
    assert seen(worker.report(wanted(2), 0)) == 100
    assert time.monotonic() - began < PATIENCE_S + 1
    assert trainer.chunks == [[1], [2]]
    both = [calls.submit(worker.report, wanted(n), 100) for n in (1, 2)]
    assert [seen(one.result(WAIT_S)) for one in both] == [200, 200]


def test_a_trial_that_is_removed_is_not_waited_for(worker, trainer, wanted, monkeypatch):
    monkeypatch.setattr("sp_search.search.workers.worker.PATIENCE_S", 1000.0)
    worker.report(wanted(2), 0)
    worker.remove(2)
    assert seen(worker.report(wanted(1), 0)) == 100
    assert trainer.numbers() == {1}


def test_a_trial_removed_while_it_waits_is_told_that_it_is_gone(worker, trainer, wanted, calls):
    trainer.gate.clear()
    calls.submit(worker.report, wanted(2), 0)
    until(lambda: trainer.joined == [2])
    waiting = calls.submit(worker.report, wanted(1), 0)
    until(lambda: 1 in worker._asked)
    worker.remove(1)
    with pytest.raises(KeyError):
        waiting.result(WAIT_S)
    trainer.gate.set()


def test_a_trial_removed_during_a_chunk_gets_no_report_and_the_others_do(worker, trainer, wanted, calls):
    worker.report(wanted(1), 0)
    worker.report(wanted(2), 0)
    trainer.gate.clear()
    gone, stays = (calls.submit(worker.report, wanted(n), 100) for n in (1, 2))
    until(lambda: len(worker._asked) == 2)
    worker.remove(1)
    with pytest.raises(KeyError):
        gone.result(WAIT_S)
    trainer.gate.set()
    assert seen(stays.result(WAIT_S)) == 200
    until(lambda: trainer.numbers() == {2})


def test_removing_an_unknown_trial_is_no_fault(worker, wanted):
    worker.remove(77)
    assert seen(worker.report(wanted(1), 0)) == 100


def test_a_broken_engine_fails_the_trials_of_the_chunk_and_the_worker_lives(worker, trainer, wanted, calls):
    trainer.gate.clear()
    first = calls.submit(worker.report, wanted(1, points=(1600,)), 0)
    until(lambda: trainer.joined == [1])
    second = calls.submit(worker.report, wanted(2, {"lr": 0.666}), 0)
    until(lambda: len(worker._asked) == 2)
    trainer.gate.set()
    for failed in (first, second):
        with pytest.raises(RuntimeError, match="the engine broke"):
            failed.result(WAIT_S)
    worker.remove(1)
    worker.remove(2)
    assert seen(worker.report(wanted(3), 0)) == 100


@pytest.mark.parametrize("is_due", [False, True])
def test_a_trial_whose_state_cannot_be_saved_fails_alone(worker, trainer, wanted, calls, tmp_path, is_due):
    """With its report, or because its last save is too long ago."""
    (tmp_path / "trials").mkdir()
    (tmp_path / "trials" / "1").write_text("in place of its folder")
    worker._saving._save_every_s = 0.0
    trainer.gate.clear()
    sound = calls.submit(worker.report, wanted(2, points=(300, 1600)), 0)
    until(lambda: trainer.joined == [2])
    broken = calls.submit(worker.report, wanted(1, points=(300 if is_due else 100, 1600)), 0)
    until(lambda: len(worker._asked) == 2)
    trainer.gate.set()
    with pytest.raises(OSError, match="trials/1"):
        broken.result(WAIT_S)
    assert seen(sound.result(WAIT_S)) == 300


def test_a_trial_that_cannot_join_fails_alone(worker, trainer, wanted, tmp_path):
    (tmp_path / "trials" / "1").mkdir(parents=True)
    (tmp_path / "trials" / "1" / "state.pt").write_text("not JSON")
    with pytest.raises(ValueError, match="Expecting value"):
        worker.report(wanted(1), 0)
    assert seen(worker.report(wanted(2), 0)) == 100


@pytest.mark.parametrize("moved_at", ["in training", "between reports"])
def test_a_trial_handed_over_goes_on_elsewhere_and_its_answer_comes_as_ever(worker, trainer, wanted, calls, moved_at):
    other_pack = Watched()
    other = Worker(lambda: other_pack)
    worker.report(wanted(1), 0)
    trainer.gate.clear()
    if moved_at == "in training":
        waiting = calls.submit(worker.report, wanted(1), 200)
        until(lambda: 1 in worker._asked)
    worker.hand_over(1, other.report)
    trainer.gate.set()
    if moved_at == "between reports":
        until(lambda: trainer.numbers() == set())
        waiting = calls.submit(other.report, wanted(1), 200)
    assert seen(waiting.result(WAIT_S)) == 300
    assert (trainer.numbers(), other_pack.numbers()) == (set(), {1})
    assert sum(map(len, trainer.chunks + other_pack.chunks)) == 3, "no stretch was trained twice"


def test_a_trial_asked_behind_its_whole_budget_is_told_so_and_the_worker_goes_on(worker, wanted):
    assert seen(worker.report(wanted(1), 400)) == 1600
    for asked in (wanted(1), wanted(2)):  # one that is here, and one that is not
        with pytest.raises(ValueError, match="expected a report to come behind 1600 utterances"):
            worker.report(asked, 1600)
    assert seen(worker.report(wanted(3), 0)) == 100


def test_a_fault_of_the_workers_own_thread_reaches_all_that_wait_and_the_thread_lives(worker, trainer, wanted, calls):
    trainer.gate.clear()
    first = calls.submit(worker.report, wanted(1), 0)
    until(lambda: trainer.joined == [1])
    waiting = calls.submit(worker.report, wanted(2), 0)
    until(lambda: 2 in worker._asked)
    trainer.remove = lambda number: 1 / 0
    worker.remove(1)
    trainer.gate.set()
    with pytest.raises(KeyError):
        first.result(WAIT_S)
    with pytest.raises(ZeroDivisionError):
        waiting.result(WAIT_S)
    del trainer.remove
    assert seen(worker.report(wanted(3), 0)) == 100


def test_many_trials_that_come_and_go_all_end(worker, trainer, wanted, calls):
    def live(number):
        for after in (0, 100, 300):
            worker.report(wanted(number), after)
        worker.remove(number)
        return number

    assert sorted(calls.map(live, range(60), timeout=60)) == list(range(60))
    assert max(map(len, trainer.chunks)) > 1
    engine_s, worker_s = worker.time_share()
    assert 0 <= engine_s <= worker_s


def test_a_worker_that_is_cut_short_reports_behind_the_next_chunk_until_it_is_not(worker, trainer, wanted, calls):
    worker.report(wanted(1), 300)  # at 400; the next report is at 1,600
    trainer.gate.clear()
    asked = calls.submit(worker.report, wanted(1), 400)
    worker.cut_short(True)
    trainer.gate.set()
    at = seen(asked.result(WAIT_S))
    assert 400 < at < 1600
    worker.cut_short(False)
    assert seen(worker.report(wanted(1), at)) == 1600
