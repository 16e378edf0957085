"""What is asked of a study: how trials ended and why, whether it was cut short, which are best."""

import pytest
from optuna.trial import TrialState

from sp_search.errors import StudyError
from sp_search.search.study.trials import (
    FINISHED,
    OVER,
    PARAMS,
    REASON,
    REPORTS,
    STOPPED,
    best_trials,
    counts,
    failures,
    goes_on,
    record_run,
    stream_position,
    trials_to_confirm,
    was_cut_short,
)
from tests.search.searches import new_study


@pytest.fixture
def study(tmp_path):
    return new_study(tmp_path)


def told(study, state, value=None, reason=None, lr=None):
    trial = study.ask()
    trial.set_user_attr(PARAMS, {"lr": trial.number if lr is None else lr})
    if reason is not None:
        trial.set_user_attr(REASON, reason)
    study.tell(trial, value, state=state)


def test_trials_are_counted_by_how_they_ended(study):
    for state, value in ((TrialState.COMPLETE, 0.5), (TrialState.PRUNED, None), (TrialState.FAIL, None)):
        told(study, state, value)
    told(study, TrialState.PRUNED)
    study.ask()
    assert counts(study) == {"complete": 1, "pruned": 2, "failed": 1}


def test_a_failed_trial_has_its_reason(study):
    told(study, TrialState.FAIL, reason="no memory")
    told(study, TrialState.PRUNED, reason=STOPPED)
    told(study, TrialState.FAIL)
    assert failures(study) == {0: "no memory", 2: "no reason was recorded"}


@pytest.mark.parametrize(
    ("reasons", "asked", "is_short"),
    [
        ([STOPPED, STOPPED], 2, False),
        ([STOPPED, STOPPED], 3, True),
        ([STOPPED, OVER], 2, True),
        ([STOPPED, OVER, STOPPED], 2, False),
        ([STOPPED, None], 2, False),
        ([OVER, OVER], 1, True),
    ],
)
def test_a_search_was_cut_short_where_its_budget_ended_trials_or_left_some_out(study, reasons, asked, is_short):
    for reason in reasons:
        told(study, TrialState.PRUNED, reason=reason)
    study.ask()  # one that runs has not ended
    assert was_cut_short(study, asked) is is_short


def test_a_study_goes_on_between_an_end_and_the_next(study):
    assert goes_on(study) is False
    study.set_user_attr(FINISHED, {"trials": 3})
    assert goes_on(study) is False
    study.set_user_attr(FINISHED, None)
    assert goes_on(study) is True


def test_the_best_are_those_at_full_budget_and_equal_settings_count_once(study):
    for value, lr in ((0.5, 1), (0.7, 2), (0.7, 3), (0.6, 2), (0.4, 4)):
        told(study, TrialState.COMPLETE, value, lr=lr)
    told(study, TrialState.PRUNED, lr=9)
    assert [trial.number for trial in best_trials(study, 3)] == [1, 2, 0]


def test_why_no_trial_reached_its_full_budget_is_said(study):
    expected = r"^study s: expected a trial that reached its full budget, found none; "
    with pytest.raises(StudyError, match=expected + r"raise trials=$"):
        best_trials(study, 1)
    study.ask()
    study.ask()
    with pytest.raises(
        StudyError,
        match=expected + r"its budget was spent before any of 2 begun trials ended; raise budget\.wall, "
        r"budget\.device_hours or budget\.money$",
    ):
        best_trials(study, 1)
    told(study, TrialState.FAIL, reason="no memory")
    told(study, TrialState.FAIL, reason="no disk")
    with pytest.raises(StudyError, match=expected + r"2 of 4 failed, trial 2 for: no memory$"):
        best_trials(study, 1)


def test_a_value_of_none_right_is_the_worst_and_no_missing_one(study):
    for value in (0.0, 0.5):
        told(study, TrialState.COMPLETE, value)
    assert [trial.number for trial in best_trials(study, 2)] == [1, 0]


def test_those_that_were_stopped_last_are_raced_where_too_few_came_to_their_full_budget(study):
    """By utterances, then by value, then the earlier one; what diverged or failed is never raced."""
    ends = [(400, 0.3, STOPPED), (1600, 0.1, OVER), (400, 0.5, STOPPED), (400, 0.5, OVER), (1600, 0.9, "diverged")]
    for number, (seen, value, reason) in enumerate(ends):
        trial = study.ask()
        trial.set_user_attr(PARAMS, {"lr": number})
        trial.set_user_attr(REASON, reason)
        trial.report(0.99, 100)
        trial.report(value, seen)
        study.tell(trial, None, state=TrialState.PRUNED)
    assert [trial.number for trial in trials_to_confirm(study, 9)] == [1, 2, 3, 0]
    told(study, TrialState.COMPLETE, 0.2)
    assert [trial.number for trial in trials_to_confirm(study, 3)] == [5, 1, 2]


def test_the_stream_stands_where_the_furthest_trial_or_run_has_reported(study):
    assert stream_position(study) == 0
    trial = study.ask()
    trial.set_user_attr(REPORTS, {"100": [0, 30], "400": [1, 70]})
    assert stream_position(study) == 70
    record_run(study, "confirm", "0:1", {"seed": 1})
    record_run(study, "final", "0:1", {"seed": 1, "position": 90})
    assert stream_position(study) == 90
