import threading

import pytest

from sp_search.tracking.api.system_metrics import SystemSampler
from sp_search.tracking.api.tracker import MlflowTracker
from tests.tracking.fakes import INFO, FakeStore, report


@pytest.mark.slow
def test_the_machines_metrics_reach_the_run_of_the_study_at_the_utterances_seen(tmp_path):
    store, seen = FakeStore(), threading.Event()
    others = {"10.0.0.2": {"cpu_utilization_percentage": 12.5}}
    tracker = MlflowTracker(
        tmp_path / "demo", "http://x", connect=lambda uri: store, interval_s=0.01, sample_s=0.02,
        others=lambda: others,
    )  # fmt: skip
    append = tracker._writer.append

    def appended(kind, *rest):
        append(kind, *rest)
        if kind == "sampled":
            seen.set()

    tracker._writer.append = appended
    tracker.study_opened(INFO)
    tracker.trial_started(0, {"lr": 0.5})
    tracker.reported(0, report(320, 0.5))
    assert seen.wait(60)
    tracker.study_finished({})
    assert tracker.close(10) == 0
    points = [point for point in store.by_trial()[None].points if point.name.startswith("system/")]
    assert {"system/cpu_utilization_percentage", "system/system_memory_usage_megabytes"} <= {p.name for p in points}
    assert {p.value for p in points if p.name == "system/10.0.0.2/cpu_utilization_percentage"} == {12.5}
    assert {point.step for point in points} <= {0, 320}
    assert store.by_trial()[None].status == "FINISHED"


def test_a_sampler_that_never_began_closes():
    SystemSampler(lambda metrics: None, 1.0).close()
