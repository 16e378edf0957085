"""A worker's course, written down and made again: every call in its order, every report to the digit."""

import errno
import json
import os

import pytest

from sp_search.errors import StudyError
from sp_search.search.run.replay import Replayed, replay, summed
from sp_search.search.workers.course import RecordedTrainer, read_courses
from tests.search.fake_trainer import FakeTrainer

POINTS = {1: 200, 2: 300}


class Exact(FakeTrainer):
    """Its numbers depend on all that was done in it before, as rounding does."""

    def __init__(self, *more):
        super().__init__(*more)
        self.done = []

    def add(self, number, params, **more):
        super().add(number, params, **more)
        self.done.append(("add", number, more["seed"], more.get("state") is not None))

    def remove(self, number):
        super().remove(number)
        self.done.append(("remove", number))

    def advance(self, numbers, until):
        self.done.append(("advance", tuple(numbers), self.position))
        found = super().advance(numbers, until)
        return self._marked(found)

    def interim(self, numbers):
        return self._marked(super().interim(numbers))

    def _marked(self, found):
        for report in found.values():
            report.metrics["past"] = hash(tuple(self.done)) / 7
        return found


def course(folder, states):
    """Two trials side by side, one that leaves, one that is saved and comes again in another worker."""
    first = RecordedTrainer(Exact(), folder)
    first.seek(5)
    for number in (1, 2):
        first.add(number, {"lr": 0.1 * number}, seed=number, budget=1600)
    first.advance([1, 2], POINTS)
    first.advance([1, 2], POINTS)
    first.remove(1)
    first.advance([2], POINTS)
    first.save(2, states / "2", {"of": "it"})
    second = RecordedTrainer(Exact(), folder)
    second.add(2, {"lr": 0.2}, seed=2, budget=1600, state=states / "2")
    second.advance([2], {2: 400})
    return second.note(states / "2")


@pytest.fixture
def recorded(tmp_path):
    course(tmp_path / "workers", tmp_path / "states")
    return tmp_path


def again(folder, number=None):
    (folder / "again").mkdir(exist_ok=True)
    return list(replay(folder / "workers", lambda sizes: Exact(), folder / "again", number))


def test_every_report_is_made_again_to_the_digit(recorded):
    found = again(recorded)
    assert [(one.number, one.seen) for one in found] == [(1, 200), (2, 300), (2, 400)]
    assert summed(found) == {"reports": 3, "same": 3, "differ": []}


def test_one_trial_is_made_again_with_those_beside_it(recorded):
    assert summed(again(recorded, 1)) == {"reports": 1, "same": 1, "differ": []}
    assert [one.seen for one in again(recorded, 2)] == [300, 400]


def test_one_trial_is_made_again_though_another_came_to_its_worker_from_elsewhere(tmp_path):
    """Trial 2 was saved by the first worker and goes on beside trial 3; then 3 answers in a fourth worker."""
    note = course(tmp_path / "workers", tmp_path / "states")
    third = RecordedTrainer(Exact(), tmp_path / "workers")
    third.add(3, {"lr": 0.3}, seed=3, budget=1600)
    third.add(2, {"lr": 0.2}, seed=2, budget=1600, state=tmp_path / "states" / "2")
    for _ in range(2):
        third.advance([2, 3], {2: 400, 3: 200})
    third.save(3, tmp_path / "states" / "3", note)
    fourth = RecordedTrainer(Exact(), tmp_path / "workers")
    fourth.add(3, {"lr": 0.3}, seed=3, budget=1600, state=tmp_path / "states" / "3")
    found = again(tmp_path, 3)
    assert [(one.number, one.seen) for one in found] == [(3, 200)]
    assert found[0].is_same


def test_a_number_that_is_not_the_same_is_told(recorded):
    (path, *_) = sorted((recorded / "workers").iterdir())
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    told = next(line for line in lines if line.get("reports"))["reports"]["1"]
    told["metrics"]["valid_accuracy"] += 1e-16
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = summed(again(recorded))
    assert (found["same"], [(one["trial"], one["seen"]) for one in found["differ"]]) == (2, [(1, 200)])


def test_the_clock_is_no_part_of_it_and_nan_is_nan():
    recorded, later = {"utterances_per_s": 7.0, "train_loss": float("nan")}, {"utterances_per_s": 9.0}
    assert Replayed(1, 2, recorded, {**later, "train_loss": float("nan")}).is_same
    assert not Replayed(1, 2, recorded, later).is_same


def test_a_state_keeps_its_note_and_the_token_of_its_save(tmp_path):
    note = course(tmp_path / "workers", tmp_path / "states")
    assert note["of"] == "it"
    (save,) = [
        call for calls in read_courses(tmp_path / "workers").values() for call in calls if call["call"] == "save"
    ]
    assert note["state"] == save["state"]


def test_a_torn_line_ends_a_course(recorded):
    _, second = sorted((recorded / "workers").iterdir())
    second.write_bytes(second.read_bytes()[:-5])
    assert [(one.number, one.seen) for one in again(recorded)] == [(1, 200), (2, 300)]


def test_nothing_recorded_is_one_line(tmp_path):
    with pytest.raises(StudyError, match="expected a study whose workers were recorded, found none"):
        again(tmp_path)
    course(tmp_path / "workers", tmp_path / "states")
    with pytest.raises(StudyError, match="expected a record of trial 9, found none"):
        again(tmp_path, 9)


def test_a_state_whose_save_is_lost_is_told(recorded):
    path = min((recorded / "workers").iterdir())
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if '"save"' not in line))
    with pytest.raises(StudyError, match="trial 2 goes on from a state that no record saves"):
        again(recorded)


def test_a_full_disk_ends_the_record_and_not_the_search(tmp_path, capsys):
    trainer = RecordedTrainer(FakeTrainer(), tmp_path)

    class Full:
        name, closed = "full", False

        def write(self, text):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        def close(self):
            self.closed = True

    trainer._file = Full()
    trainer.add(1, {"lr": 0.1}, seed=1, budget=1600)
    assert trainer.advance([1], {1: 100})[1].utterances_seen == 100
    assert capsys.readouterr().err.count("the record of this worker ends here: [Errno 28] No space left") == 1


def test_what_was_measured_between_reports_is_made_again_and_a_difference_is_found(tmp_path):
    trainer = RecordedTrainer(Exact(), tmp_path / "workers")
    trainer.add(1, {"lr": 0.1}, seed=1, budget=1600)
    trainer.advance([1], {1: 200})
    trainer.interim([1])
    trainer.advance([1], {1: 200})
    found = again(tmp_path, 1)
    assert [(one.seen, one.is_same) for one in found] == [(100, True), (200, True)]
    (path,) = (tmp_path / "workers").iterdir()
    path.write_text(path.read_text().replace('"valid_accuracy": 0.01', '"valid_accuracy": 0.02', 1))
    assert [one.is_same for one in again(tmp_path)] == [False, True]


def test_calls_of_a_worker_keep_their_order_where_its_clock_was_set_back(tmp_path):
    course(tmp_path / "workers", tmp_path / "states")
    for path in (tmp_path / "workers").iterdir():
        calls = [json.loads(line) for line in path.read_text().splitlines()]
        for call in calls[len(calls) // 2 :]:
            call["t"] -= 3_600_000_000_000
        path.write_text("".join(json.dumps(call) + "\n" for call in calls))
    assert summed(again(tmp_path)) == {"reports": 3, "same": 3, "differ": []}
