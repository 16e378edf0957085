"""The time of a study is the sum over all its starts, whatever ended them."""

import pytest

from sp_search.search.run.time_spent import EVERY_S, SPENT, TimeSpent
from sp_search.types import Report
from tests.search.searches import new_study


@pytest.fixture
def clock():
    class Clock:
        now = 100.0

        def __call__(self):
            return self.now

    return Clock()


def test_starts_add_up(tmp_path, clock):
    for seconds, engine, alive, devices in (
        (30.0, 20.0, 25.0, {"cpu": 28.0}),
        (10.0, 8.0, 10.0, {"cpu": 9.0, "A100": 4.0}),
    ):
        spent = TimeSpent(new_study(tmp_path), clock, lambda devices=devices: devices)
        clock.now += seconds
        spent.keep(engine, alive)
    spent = TimeSpent(new_study(tmp_path), clock, lambda: {"A100": 1.5})
    clock.now += 2
    assert spent.device_s() == {"cpu": 37.0, "A100": 5.5}
    assert spent.total(1.0, 5.0) == {
        "wall_s": 42.0, "trial_s": 29.0, "device_s": {"cpu": 37.0, "A100": 5.5}, "engine_share": 0.725,
    }  # fmt: skip


def test_a_killed_start_counts_up_to_its_last_report_but_for_seconds(tmp_path, clock):
    spent = TimeSpent(new_study(tmp_path), clock)
    for seconds in (EVERY_S + 5, 3, EVERY_S, 1):
        clock.now += seconds
        spent.reported(0, Report(100, {}))
    assert new_study(tmp_path).user_attrs[SPENT]["wall_s"] == 2 * EVERY_S + 8
