"""What is measured between two reports: kept beside them, told once, and seen by no pruner and no sampler."""

from types import SimpleNamespace

import pytest

from sp_search.search.base.protocol import INTERIM, METRIC, TIME
from sp_search.search.base.pruners import read_pruner
from sp_search.search.study.records import known_trials, study_record
from sp_search.search.study.trials import MEASURED, past_reports, stream_position
from sp_search.search.tune.optuna_searcher import SEEN
from sp_search.search.tune.scheduler import NUMBER, ReplayedScheduler, ray_scheduler
from tests.search.searches import lr_space
from tests.search.tune.searching import Search

SIZES = dict(budget=1600, grace=100, reduction_factor=4)
REPORTS = [(n, seen, (7 * n + seen // 100) % 10 / 10) for seen in (100, 400) for n in range(8)]


@pytest.mark.parametrize("pruner", ["asha", "hyperband", "median", "none"])
def test_a_pruner_decides_as_if_nothing_had_been_measured_between(pruner):
    def decisions(between):
        inner = ray_scheduler(read_pruner(pruner, **SIZES) if pruner != "hyperband" else HYPERBAND, **SIZES)
        scheduler = ReplayedScheduler(inner, budget=1600)
        trials = {n: SimpleNamespace(trial_id=f"tune-{n}", config={NUMBER: n}) for n in range(8)}
        for trial in trials.values():
            scheduler.on_trial_add(None, trial)
        found: list = []
        for n, seen, value in REPORTS:
            if (n, "STOP") in found:
                continue
            for at in range(between):
                told = {TIME: seen + 10 * at + 10, METRIC: 0.99 - value, INTERIM: True}
                assert scheduler.on_trial_result(None, trials[n], told) == "CONTINUE"
            found.append((n, scheduler.on_trial_result(None, trials[n], {TIME: seen, METRIC: value})))
        return found

    assert decisions(between=3) == decisions(between=0)


HYPERBAND = read_pruner({"name": "hyperband", "brackets": 2}, **SIZES)


def test_it_is_kept_beside_the_reports_and_told_as_what_it_is(tmp_path):
    search = Search(tmp_path)
    search.searcher.suggest("a")
    search.report("a", 100, 0.3, position=5)
    search.report("a", 200, 0.4, position=9, valid_loss=1.5, **{INTERIM: True})
    (trial,) = search.study.trials
    assert trial.intermediate_values == {100: 0.3}
    assert trial.user_attrs[MEASURED] == {"200": {"valid_accuracy": 0.4, "valid_loss": 1.5}}
    assert [(one.seen, one.value) for one in past_reports(search.study)] == [(100, 0.3)]
    assert stream_position(search.study) == 5
    assert [event[:3] for event in search.heard.events[1:]] == [("reported", 0, 100), ("measured", 0, 200)]


def test_it_is_told_once_though_it_is_measured_again_and_never_where_it_is_no_number(tmp_path):
    search = Search(tmp_path)
    search.searcher.suggest("a")
    for value in (0.4, 0.4, float("nan")):
        search.report("a", 200, value, **{INTERIM: True})
    assert [event[0] for event in search.heard.events].count("measured") == 1
    search.report("a", 300, float("nan"), **{INTERIM: True})
    assert list(search.study.trials[0].user_attrs[MEASURED]) == ["200"]


def test_a_search_that_goes_on_asks_behind_it_and_keeps_it(tmp_path):
    killed = Search(tmp_path)
    killed.searcher.suggest("a")
    killed.report("a", 100, 0.3)
    killed.report("a", 200, 0.4, **{INTERIM: True})
    search = Search(tmp_path)
    assert search.searcher.suggest("again")[SEEN] == 200
    search.report("again", 200, 0.4, **{INTERIM: True})
    search.report("again", 300, 0.5, **{INTERIM: True})
    assert list(search.study.trials[0].user_attrs[MEASURED]) == ["200", "300"]
    assert [event[0] for event in search.heard.events].count("measured") == 1


def test_records_have_one_curve_and_the_tracker_learns_of_it(tmp_path):
    search = Search(tmp_path)
    search.searcher.suggest("a")
    for seen, value, interim in ((100, 0.3, False), (200, 0.4, True), (400, 0.5, False)):
        search.report("a", seen, value, **{INTERIM: interim})
    (record,) = study_record(search.study, "accuracy").trials
    assert list(record.curve.items()) == [(100, 0.3), (200, 0.4), (400, 0.5)]
    assert (record.reports, record.last) == ({100: 0.3, 400: 0.5}, (400, 0.5))
    (known,) = known_trials(search.study, lr_space(), "valid_accuracy")
    assert known.measured == {200: {"valid_accuracy": 0.4}}
