"""What a worker measures between two reports: told at once, saved later, and nothing of the training changes."""

from sp_search.search.base.protocol import INTERIM, METRIC, TIME
from sp_search.search.workers.worker import Worker
from tests.search.fake_trainer import curve
from tests.search.workers.watched import PARAMS, WAIT_S, Watched, seen, until

BETWEEN = {"points": (400, 1600), "interim": (600, 950)}


def told_by(worker, request):
    """Utterances of all that a worker tells of a trial, each with whether it was between reports."""
    found = [(0, False)]
    while found[-1][0] < 1600:
        told = worker.report(request, found[-1][0])
        found.append((seen(told), told.interim))
    return found[1:]


def test_valid_is_measured_behind_the_chunk_that_passes_each_point(worker, wanted):
    assert told_by(worker, wanted(1, **BETWEEN)) == [(400, False), (600, True), (1000, True), (1600, False)]


def test_tune_is_told_that_it_is_no_report(worker, wanted):
    result = worker.tune_result(wanted(1, **BETWEEN), 400, "valid_accuracy")
    assert (result[TIME], result[METRIC], result[INTERIM], result["done"]) == (600, curve(PARAMS, 600), True, False)


def test_a_report_at_the_same_chunk_is_all_that_is_told(worker, wanted):
    assert told_by(worker, wanted(1, points=(400, 1600), interim=(399, 1599))) == [(400, False), (1600, False)]


def test_the_chunks_and_reports_are_those_without(worker, trainer, wanted):
    plain_trainer = Watched()
    plain = Worker(lambda: plain_trainer)
    reports = [plain.report(wanted(1, points=(400, 1600)), after) for after in (0, 400)]
    told = [worker.report(wanted(2, **BETWEEN), after) for after in (0, 400, 600, 1000)]
    assert [one for one in told if not one.interim] == reports
    assert sum(map(len, trainer.chunks)) == sum(map(len, plain_trainer.chunks)) == 16


def test_what_was_measured_is_in_no_saved_state_and_is_measured_again(worker, wanted):
    for after in (0, 400):
        worker.report(wanted(1, **BETWEEN), after)
    fresh = Worker(lambda: Watched())
    assert seen(fresh.report(wanted(1, **BETWEEN), 0)) == 400, "the report of the saved state comes again"
    assert seen(fresh.report(wanted(1, **BETWEEN), 400)) == 600


def test_a_trial_is_not_saved_with_it_before_the_driver_asks_on(trainer, wanted, calls, tmp_path):
    """Or what was told, and lost with the driver, would never be measured again."""
    worker = Worker(lambda: trainer, save_every_s=0.0)
    worker.report(wanted(1, **BETWEEN), 0)
    state = tmp_path / "trials" / "1" / "state.pt"
    worker.report(wanted(1, **BETWEEN), 400)
    worker.save_now()
    assert '"seen": 500' in state.read_text()
    trainer.gate.clear()
    asked = calls.submit(worker.report, wanted(1, **BETWEEN), 600)
    saving = calls.submit(worker.save_now)
    trainer.gate.set()
    saving.result(WAIT_S)
    assert '"seen": 500' not in state.read_text()
    assert seen(asked.result(WAIT_S)) == 1000


def test_what_was_measured_before_a_later_save_is_told_again_to_a_driver_that_lost_it(trainer, wanted):
    """As where the machine crashed, and the last record of the study was not on the disk yet."""
    worker = Worker(lambda: trainer, save_every_s=0.0)
    told = {after: worker.report(wanted(1, **BETWEEN), after) for after in (0, 400, 600)}
    fresh_pack = Watched()
    fresh = Worker(lambda: fresh_pack)
    assert fresh.report(wanted(1, **BETWEEN), 400) == told[400]
    assert fresh.report(wanted(1, **BETWEEN), 0) == told[0], "the last report comes first"
    assert fresh_pack.chunks == [], "nothing was trained for it"
    assert seen(fresh.report(wanted(1, **BETWEEN), 600)) == 1000
    assert seen(fresh.report(wanted(1, **BETWEEN), 1000)) == 1600
    last = Worker(lambda: Watched())
    assert seen(last.report(wanted(1, **BETWEEN), 400)) == 1600, "a report replaces what was measured before it"


def test_a_trial_handed_over_behind_it_takes_its_training_along(worker, trainer, wanted, calls):
    other_pack = Watched()
    other = Worker(lambda: other_pack)
    for after in (0, 400):
        worker.report(wanted(1, **BETWEEN), after)
    worker.hand_over(1, other.report)
    until(lambda: trainer.numbers() == set())
    assert seen(calls.submit(other.report, wanted(1, **BETWEEN), 600).result(WAIT_S)) == 1000
    assert sum(map(len, trainer.chunks + other_pack.chunks)) == 10, "no stretch was trained twice"
