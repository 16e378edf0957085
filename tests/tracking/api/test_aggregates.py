import math

from sp_search.tracking.api.aggregates import StudyAggregates
from sp_search.tracking.spool.jsonl_log import Event


def test_best_values_follow_a_table_worked_by_hand():
    history = StudyAggregates("valid_accuracy", maximize=True)
    history.started(0, "search")
    history.started(1, "search")
    table = [  # trial, utterances seen, accuracy; recorded for the trial, for the study; utterances of the study
        (0, 320, 0.2, {"best_valid_accuracy": 0.2}, {"running_best_valid_accuracy": 0.2}, 320),
        (1, 320, 0.1, {"best_valid_accuracy": 0.1}, {}, 640),
        (0, 640, 0.1, {}, {}, 960),
        (1, 960, 0.3, {"best_valid_accuracy": 0.3}, {"running_best_valid_accuracy": 0.3}, 1600),
        (1, 1280, math.nan, {}, {}, 1920),
    ]
    for number, seen, accuracy, best, running, together in table:
        own, study = history.reported(number, seen, {"valid_accuracy": accuracy})
        assert {name: value for name, value in own.items() if name != "valid_accuracy"} == best
        assert study == running
        assert history.utterances_seen == together


def test_a_stretch_walked_again_after_a_checkpoint_is_told_once():
    history = StudyAggregates("valid_accuracy", maximize=True)
    history.started(0, "search")
    assert history.reported(0, 640, {"valid_accuracy": 0.5}) is not None
    assert history.reported(0, 320, {"valid_accuracy": 0.4}) is None
    assert history.reported(0, 640, {"valid_accuracy": 0.5}) is None
    assert history.reported(0, 960, {"valid_accuracy": 0.4}) == ({"valid_accuracy": 0.4}, {})


def test_less_is_better_where_the_objective_is_an_error():
    history = StudyAggregates("valid_wer", maximize=False)
    history.started(0, "search")
    history.reported(0, 320, {"valid_wer": 0.5})
    assert history.reported(0, 640, {"valid_wer": 0.4})[1] == {"running_best_valid_wer": 0.4}
    assert history.reported(0, 960, {"valid_wer": 0.6})[1] == {}


def test_confirm_runs_count_neither_as_trials_nor_as_best():
    history = StudyAggregates("valid_accuracy", maximize=True)
    history.started(0, "confirm")
    assert history.reported(0, 320, {"valid_accuracy": 0.9})[1] == {}
    assert history.finished(0, "COMPLETE", {}) == ({}, {})


def test_the_end_of_a_trial_tells_only_what_its_last_report_did_not():
    history = StudyAggregates("valid_accuracy", maximize=True)
    history.started(0, "search")
    history.reported(0, 320, {"valid_accuracy": 0.5})
    own, study = history.finished(0, "PRUNED", {"valid_accuracy": 0.5, "stored_bytes": 10.0})
    assert own == {"stored_bytes": 10.0}
    assert study == {"trials_pruned": 1.0}


def test_a_replayed_history_goes_on_where_it_was():
    history = StudyAggregates("valid_accuracy", maximize=True)
    events = [  # the line that started trial 1 is lost
        Event("study_opened", 0, None, {}),
        Event("trial_started", 1, 0, {"tags": {"sp_search.role": "search"}}),
        Event("reported", 2, 0, {"step": 320, "metrics": {"valid_accuracy": 0.5, "valid_loss": "nan"}, "tags": {}}),
        Event("reported", 3, 1, {"step": 640, "metrics": {"valid_accuracy": 0.6}, "tags": {}}),
        Event("trial_finished", 4, 0, {"tags": {"sp_search.state": "COMPLETE"}}),
    ]
    for event in events:
        history.replay(event)
    assert (history.utterances_seen, history.counts["trials_complete"]) == (960, 1)
    assert history.reported(1, 960, {"valid_accuracy": 0.55}) == ({"valid_accuracy": 0.55}, {})


def test_what_is_measured_between_reports_is_a_point_and_no_best():
    history = StudyAggregates("valid_accuracy", maximize=True)
    history.started(0, "search")
    history.reported(0, 320, {"valid_accuracy": 0.5})
    assert history.measured(0, 400, {"valid_accuracy": 0.9}) == ({"valid_accuracy": 0.9}, {})
    assert history.measured(0, 400, {"valid_accuracy": 0.9}) is None
    assert history.reported(0, 400, {"valid_accuracy": 0.9}) is None
    assert history.utterances_seen == history.steps_of(0) == 400
    own, study = history.reported(0, 640, {"valid_accuracy": 0.6})
    assert (own["best_valid_accuracy"], study) == (0.6, {"running_best_valid_accuracy": 0.6})
    assert history.finished(0, "PRUNED", {"valid_accuracy": 0.6})[0] == {}


def test_a_replayed_history_knows_how_far_a_trial_was_measured():
    history = StudyAggregates("valid_accuracy", maximize=True)
    history.replay(Event("trial_started", 1, 0, {"tags": {"sp_search.role": "search"}}))
    history.replay(Event("measured", 2, 0, {"step": 320, "metrics": {"valid_accuracy": 0.5}, "tags": {}}))
    assert history.measured(0, 320, {"valid_accuracy": 0.5}) is None
    assert history.utterances_seen == 320
