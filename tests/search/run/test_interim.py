"""Whole searches that measure between reports: what they come to is what it is without; killed, nothing is twice."""

import pytest

from sp_search.search.study.records import study_record
from sp_search.search.workers.course import read_courses
from tests.cluster.processes import wait_for
from tests.search.fake_search import search
from tests.search.run.test_search import begin, events, kill_all
from tests.search.searches import new_study

pytestmark = pytest.mark.slow
SIZES = {"trials": 6, "slots": 1, "final_seeds": 1}
CHEAP = {"interim_cost": 5.0}  # measured behind 300, 600, 800, ... utterances


def came_to(folder, summary):
    record = study_record(new_study(folder), "accuracy")
    trials = [(t.state, dict(t.params), dict(t.reports), t.reason) for t in record.trials]
    return trials, dict(record.confirmed), dict(record.final), summary["best"], summary["trials"]


def curves(folder):
    return [dict(trial.curve) for trial in study_record(new_study(folder), "accuracy").trials]


def chunks(folder):
    calls = [call for course in read_courses(folder / "s" / "workers").values() for call in course]
    return [call["until"] for call in calls if call["call"] == "advance"]


def test_a_search_comes_to_the_same_with_and_without(in_ray, tmp_path):
    for name, more in (("with", CHEAP), ("without", {})):
        (tmp_path / name).mkdir()
        summary = search(tmp_path / name, **SIZES, **more)
        if name == "with":
            found = came_to(tmp_path / name, summary)
    assert came_to(tmp_path / "without", summary) == found
    assert chunks(tmp_path / "with") == chunks(tmp_path / "without")
    full = [set(curve) for curve in curves(tmp_path / "with") if 1600 in curve]
    assert full[0] == {100, 300, 400, 600, 800, 1000, 1100, 1300, 1500, 1600}
    assert all(set(curve) <= {100, 400, 1600} for curve in curves(tmp_path / "without"))


@pytest.mark.long
def test_a_search_killed_between_two_reports_tells_nothing_twice_and_has_the_same_curves(in_ray, tmp_path):
    for name in ("killed", "undisturbed"):
        (tmp_path / name).mkdir()
    killed = begin(tmp_path / "killed", pause_s=0.03, **SIZES, **CHEAP)
    wait_for(lambda: len(events(tmp_path / "killed", "measured")) >= 4, killed)
    kill_all(killed)
    for name in ("killed", "undisturbed"):
        search(tmp_path / name, **SIZES, **CHEAP)
    told = [tuple(one) for kind in ("reported", "measured") for one in events(tmp_path / "killed", kind)]
    of_trials = [one for one in told if one[0] < 1_000_000]
    assert len(of_trials) == len(set(of_trials))
    assert curves(tmp_path / "killed") == curves(tmp_path / "undisturbed")
