"""The worker: trials in lock-step, joining and leaving between chunks, none of them able to hold the others up."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from sp_search.search.worker import Worker
from tests.search.fake_pack import CHUNK, FakePack, curve

PARAMS = {"lr": 0.5}
WAIT_S = 10.0


class Watched(FakePack):
    """Remembers which trials each chunk had; a chunk begins only when the gate is open."""

    def __init__(self):
        super().__init__()
        self.chunks = []
        self.gate = threading.Event()
        self.gate.set()

    def advance(self, numbers, until):
        assert self.gate.wait(WAIT_S)
        self.chunks.append(sorted(numbers))
        return super().advance(numbers, until)


@pytest.fixture
def pack():
    return Watched()


@pytest.fixture
def worker(pack):
    return Worker(lambda: pack)


@pytest.fixture
def calls():
    with ThreadPoolExecutor(16) as pool:
        yield pool


def start(worker, *numbers, params=PARAMS):
    for number in numbers:
        worker.start(number, params, 0, 1600, None)


def until(condition):
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_a_trial_alone_gets_its_report_and_its_state_is_saved_first(worker, tmp_path):
    start(worker, 1)
    report = worker.report(1, 3 * CHUNK, str(tmp_path / "1"))
    assert (report.utterances_seen, report.metrics["valid_accuracy"]) == (300, curve(PARAMS, 300))
    assert (tmp_path / "1" / "state.pt").exists()


def test_starting_tells_what_a_trial_weighs(worker):
    assert worker.start(1, PARAMS, 0, 1600, None) == {"method": "prompt", "trained_parameters": 7, "stored_bytes": 28}


def test_no_chunk_begins_before_every_live_trial_has_asked(worker, pack, calls, tmp_path):
    start(worker, 1, 2)
    first = calls.submit(worker.report, 1, 100, str(tmp_path / "1"))
    time.sleep(0.1)
    assert pack.chunks == []
    second = calls.submit(worker.report, 2, 100, str(tmp_path / "2"))
    assert [f.result(WAIT_S).utterances_seen for f in (first, second)] == [100, 100]
    assert pack.chunks == [[1, 2]]


def test_trials_that_report_at_different_points_step_together(worker, pack, calls, tmp_path):
    start(worker, 1, 2)
    long = calls.submit(worker.report, 2, 300, str(tmp_path / "2"))
    for point in (100, 200, 300):
        assert worker.report(1, point, str(tmp_path / "1")).utterances_seen == point
    assert long.result(WAIT_S).utterances_seen == 300
    assert pack.chunks == [[1, 2]] * 3


def test_a_trial_that_is_removed_no_longer_holds_the_others_up(worker, calls, tmp_path):
    start(worker, 1, 2)
    waiting = calls.submit(worker.report, 1, 100, str(tmp_path / "1"))
    worker.remove(2)
    assert waiting.result(WAIT_S).utterances_seen == 100


def test_a_trial_removed_while_it_waits_is_told_that_it_is_gone(worker, calls, tmp_path):
    start(worker, 1, 2)
    waiting = calls.submit(worker.report, 1, 100, str(tmp_path / "1"))
    until(lambda: 1 in worker._wanted)
    worker.remove(1)
    with pytest.raises(KeyError):
        waiting.result(WAIT_S)


def test_a_trial_removed_during_a_chunk_gets_no_report_and_the_others_do(worker, pack, calls, tmp_path):
    start(worker, 1, 2)
    pack.gate.clear()
    gone, stays = (calls.submit(worker.report, n, 100, str(tmp_path / str(n))) for n in (1, 2))
    until(lambda: not worker._turn._waiters or len(worker._wanted) == 2)
    leaving = calls.submit(worker.remove, 1)
    with pytest.raises(KeyError):
        gone.result(WAIT_S)
    pack.gate.set()
    leaving.result(WAIT_S)
    assert stays.result(WAIT_S).utterances_seen == 100


def test_removing_an_unknown_trial_is_no_fault(worker):
    worker.remove(77)


def test_a_trial_that_is_not_live_is_refused_so_that_it_joins_again(worker, tmp_path):
    with pytest.raises(KeyError):
        worker.report(5, 100, str(tmp_path))


def test_a_trial_joins_from_its_saved_state(worker, tmp_path):
    start(worker, 1)
    worker.report(1, 200, str(tmp_path))
    worker.remove(1)
    worker.start(1, PARAMS, 0, 1600, str(tmp_path))
    assert worker.report(1, 300, str(tmp_path)).utterances_seen == 300


def test_a_broken_engine_fails_the_trials_of_the_chunk_and_the_worker_lives(worker, calls, tmp_path):
    start(worker, 1)
    start(worker, 2, params={"lr": 0.666})
    both = [calls.submit(worker.report, n, 100, str(tmp_path / str(n))) for n in (1, 2)]
    for failed in both:
        with pytest.raises(RuntimeError, match="the engine broke"):
            failed.result(WAIT_S)
    worker.remove(1)
    worker.remove(2)
    start(worker, 3)
    assert worker.report(3, 100, str(tmp_path / "3")).utterances_seen == 100


def test_many_trials_that_come_and_go_all_end(worker, pack, calls, tmp_path):
    def live(number):
        worker.start(number, PARAMS, 0, 1600, None)
        for point in (100, 200, 400):
            worker.report(number, point, str(tmp_path / str(number)))
        worker.remove(number)
        return number

    assert sorted(calls.map(live, range(60), timeout=60)) == list(range(60))
    assert max(map(len, pack.chunks)) > 1
    engine_s, worker_s = worker.time_share()
    assert 0 <= engine_s <= worker_s
