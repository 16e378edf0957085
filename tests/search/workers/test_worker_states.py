"""What a worker saves of a trial, and what a trial goes on from."""

import json
from contextlib import suppress

import pytest

from sp_search.search.workers.worker import Worker
from tests.search.fake_trainer import FakeTrainer, curve
from tests.search.workers.watched import FACTS, PARAMS, WAIT_S, Watched, seen, until


def test_a_trial_goes_on_from_its_saved_state_in_another_worker(worker, trainer, wanted):
    worker.report(wanted(1), 100)
    fresh = Watched()
    assert seen(Worker(lambda: fresh).report(wanted(1), 200)) == 300
    assert fresh.chunks == [[1]]


def test_what_was_told_before_is_told_again_without_training(worker, wanted):
    first = worker.report(wanted(1), 0)
    fresh = Watched()
    assert Worker(lambda: fresh).report(wanted(1), 0) == first
    assert (fresh.joined, fresh.chunks) == ([], [])


def test_what_another_trial_left_in_the_folder_is_not_told(worker, wanted):
    worker.report(wanted(1), 0)
    other = wanted(1, params={"lr": 0.7})
    told = Worker(lambda: FakeTrainer()).report(other, 0)
    assert told.report.metrics["valid_accuracy"] == curve(other.params, seen(told))


def test_a_diverged_trial_leaves_the_state_it_had_before(worker, trainer, wanted, tmp_path):
    worker.report(wanted(1), 0)
    before = (tmp_path / "trials" / "1" / "state.pt").read_text()
    trainer.diverged = "training loss is nan"
    assert worker.report(wanted(1), 100).report.diverged == "training loss is nan"
    assert (tmp_path / "trials" / "1" / "state.pt").read_text() == before


def test_a_saved_trial_is_evaluated_and_leaves_nothing_behind(worker, trainer, wanted):
    worker.report(wanted(1), 300)
    worker.remove(1)
    measured, facts = worker.answer([(wanted(1), 1.0)], "test")
    assert (measured["metrics"]["accuracy"], facts) == (curve(PARAMS, 400), [FACTS])
    until(lambda: trainer.numbers() == set())


def test_saved_trials_answer_together_and_leave_nothing_behind(worker, trainer, wanted):
    other = wanted(2, params={"lr": 0.9})
    for request in (wanted(1), other):
        worker.report(request, 300)
        worker.remove(request.number)
    measured, facts = worker.answer([(wanted(1), 0.25), (other, 0.75)], "test")
    together = 0.25 * curve(PARAMS, 400) + 0.75 * curve(other.params, 400)
    assert measured["metrics"]["accuracy"] == pytest.approx(together)
    assert facts == [FACTS, FACTS]
    until(lambda: trainer.numbers() == set())


def test_a_saved_trial_is_scored_and_leaves_nothing_behind(worker, trainer, wanted):
    worker.report(wanted(1), 300)
    worker.remove(1)
    assert worker.scores(wanted(1), "valid").shape == (3, 2)
    gold, utterances = worker.events("valid")
    assert (gold.tolist(), utterances.tolist()) == ([0, 0, 0], [0, 1, 2])
    until(lambda: trainer.numbers() == set())


def test_evaluating_a_trial_that_was_never_saved_is_an_error(worker, wanted):
    with pytest.raises(FileNotFoundError):
        worker.answer([(wanted(1), 1.0)], "test")


def test_why_a_run_raised_is_kept_beside_the_study(worker, wanted, tmp_path):
    with pytest.raises(RuntimeError, match="the engine broke"):
        worker.report(wanted(7, {"lr": 0.666}), 0)
    log = (tmp_path / "logs" / "trial-7.log").read_text()
    assert "params {'lr': 0.666} seed 0" in log
    assert log.strip().endswith("RuntimeError: the engine broke")


def test_a_traceback_that_no_disk_takes_keeps_no_trial_waiting(worker, wanted, tmp_path, calls, capsys):
    (tmp_path / "logs").write_text("a file where the folder should be")
    told = calls.submit(worker.report, wanted(7, {"lr": 0.666}), 0)
    with pytest.raises(RuntimeError, match="the engine broke"):
        told.result(WAIT_S)
    assert "the traceback of trial 7 can't be kept: " in capsys.readouterr().err


def test_a_state_of_another_seed_budget_or_study_is_not_gone_on_with(worker, wanted):
    worker.report(wanted(1), 300)
    for change in ({"seed": 1}, {"study": "other"}, {"budget": 900, "points": (100, 900)}):
        assert seen(Worker(lambda: FakeTrainer()).report(wanted(1, **change), 0)) == 100


def test_a_fresh_worker_begins_where_the_stream_had_come_to(wanted):
    told = Worker(lambda: FakeTrainer()).report(wanted(1, position=41), 0)
    assert told.position == 42


def test_a_state_and_the_report_made_of_it_are_one_file(worker, wanted, tmp_path):
    worker.report(wanted(1), 0)
    assert [path.name for path in (tmp_path / "trials" / "1").iterdir()] == ["state.pt"]


def test_a_trial_is_saved_in_the_middle_of_its_training_when_its_last_save_is_too_long_ago(wanted, calls, tmp_path):
    worker = Worker(lambda: FakeTrainer(pause_s=0.05), save_every_s=0.08)
    worker.report(wanted(1), 300)
    training = calls.submit(worker.report, wanted(1), 400)
    saved = set()
    while not training.done():
        with suppress(ValueError):  # the fake writes a file in more than one step
            saved.add(json.loads((tmp_path / "trials" / "1" / "state.pt").read_text())["seen"])
    between = saved - {400, 1600}
    assert 2 <= len(between) <= 9, "of the 11 chunks between the two reports, every second is saved or fewer"


def test_a_worker_saves_all_live_trials_when_it_is_asked_to(worker, trainer, wanted, calls, tmp_path):
    for number in (1, 2):
        worker.report(wanted(number), 0)
        (tmp_path / "trials" / str(number) / "state.pt").unlink()
    trainer.gate.clear()
    calls.submit(worker.report, wanted(1), 400)
    saving = calls.submit(worker.save_now)
    trainer.gate.set()
    saving.result(WAIT_S)
    assert (tmp_path / "trials" / "1" / "state.pt").exists()
    assert not (tmp_path / "trials" / "2" / "state.pt").exists(), "it waits since its report, which saved it"


def test_a_trial_that_is_still_live_answers_as_it_was_saved_and_goes_on_when_it_is_asked_to(worker, wanted, calls):
    """As where a run has ended, and its worker is asked for its answers before it is told to remove it."""
    worker.report(wanted(1), 300)
    answered = calls.submit(worker.answer, [(wanted(1), 1.0)], "valid").result(WAIT_S)
    assert answered[0]["metrics"]["accuracy"] == curve(PARAMS, 400)
    worker.remove(1)
    assert calls.submit(worker.scores, wanted(1), "valid").result(WAIT_S).shape == (3, 2)
    assert seen(calls.submit(worker.report, wanted(1), 400).result(WAIT_S)) == 1600


def test_an_errand_is_not_lost_where_removing_a_trial_fails(worker, trainer, wanted, calls, monkeypatch):
    worker.report(wanted(1), 0)
    trainer.gate.clear()
    training = calls.submit(worker.report, wanted(2), 0)
    until(lambda: 2 in trainer.joined)
    monkeypatch.setattr(trainer, "remove", lambda number: 1 / 0)
    worker.remove(1)
    events = calls.submit(worker.events, "valid")
    trainer.gate.set()
    assert len(events.result(WAIT_S)) == 2
    assert seen(training.result(WAIT_S)) == 100
