"""What a spool has lost of a study."""

from dataclasses import replace

from sp_search.tracking.api.catch_up import KnownTrial, lost
from sp_search.tracking.spool.jsonl_log import Event

ENDED = KnownTrial(
    3, {"lr": 0.1}, seed=7, reports={100: {"a": 0.5}, 400: {"a": 0.6}}, state="PRUNED", reason="stopped at a rung"
)
REPORTS = [Event("reported", 0, 3, {"step": step}) for step in (100, 400)]
END = Event("trial_finished", 0, 3, {})


def test_a_whole_spool_has_lost_nothing():
    assert list(lost([ENDED], [*REPORTS, END])) == []


def test_a_lost_end_comes_without_the_reports_that_are_there():
    (found,) = lost([ENDED], REPORTS)
    assert (found.reports, found.state, found.reason) == ({}, "PRUNED", "stopped at a rung")


def test_a_lost_report_comes_alone():
    (found,) = lost([ENDED], [REPORTS[0], END])
    assert (found.reports, found.state) == ({400: {"a": 0.6}}, "")


def test_a_spool_that_is_gone_has_lost_all_that_was_reported():
    begun = KnownTrial(4, {"lr": 0.2}, seed=8, reports={}, state="")
    assert list(lost([ENDED, begun], [])) == [ENDED]


def test_a_lost_measurement_comes_alone():
    measured = replace(ENDED, measured={200: {"a": 0.55}, 300: {"a": 0.58}})
    there = [REPORTS[0], Event("measured", 0, 3, {"step": 200}), REPORTS[1], END]
    (found,) = lost([measured], there)
    assert (found.reports, found.measured, found.state) == ({}, {300: {"a": 0.58}}, "")
