"""What a search that goes on knows of its earlier starts."""

from sp_search.cli.wiring.watching import left_before
from sp_search.search.study.records import StudyRecord, TrialRecord
from sp_search.search.ui.state import Before


def trial(number, state, reports):
    return TrialRecord(number=number, state=state, params={}, reports=reports, reason="")


def record(*trials):
    return StudyRecord(name="s", metric="accuracy", trials=trials, confirmed={}, final={}, identity={})


def test_the_best_of_earlier_starts_is_that_of_any_trial_wherever_it_was_measured():
    found = left_before(
        record(
            trial(0, "complete", {400: 0.3, 1600: 0.6}),
            trial(1, "pruned", {400: 0.2}),
            trial(2, "running", {400: 0.7}),
            trial(3, "running", {}),
            trial(4, "fail", {}),
        )
    )
    assert found == Before({"complete": 1, "pruned": 1, "failed": 1}, {2: 400, 3: 0}, (0.7, "trial 2", 400))


def test_a_new_study_has_left_nothing():
    assert left_before(record()) == Before({}, {})
