"""The settings records: their ranges, and that each setting is read by a command."""

import ast
from pathlib import Path

import pytest

from sp_search.cli.main import COMMANDS
from sp_search.cli.settings.from_dict import leaves
from sp_search.config import (
    BudgetSettings,
    ClusterSettings,
    ConfirmSettings,
    FinalSettings,
    ScheduleSettings,
    Settings,
    WinnerSettings,
)
from sp_search.errors import ConfigError

CLI = Path(__file__).parents[1] / "sp_search" / "cli"
SCHEDULE = {
    "trials": 1, "budget": 64, "grace": 64, "reduction_factor": 2, "batch_size": 1, "chunk_updates": 1, "seed": 0,
    "valid_sample": 0, "retries": 0, "sampler": "tpe", "pruner": "asha",
    "warm_start": None, "first_trials": [], "confirm": ConfirmSettings(top=1, seeds=1),
    "final": FinalSettings(seeds=0, stretch=1.0),
}  # fmt: skip
CLUSTER = {
    "address": None, "nodes": None, "workers": None, "slots": 1, "cpus_per_worker": 0.5, "gpus_per_worker": 0.0,
    "storage": None, "save_every": 120.0,
}  # fmt: skip


def test_the_smallest_schedule_is_legal():
    ScheduleSettings(**SCHEDULE)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"trials": 0}, "trials: expected 1 or more, got 0"),
        ({"reduction_factor": 1}, "reduction_factor: expected 2 or more, got 1"),
        ({"grace": 65}, "grace: expected at most the budget of 64 utterances, got 65"),
        ({"batch_size": 0, "chunk_updates": -1},
         "batch_size: expected 1 or more, got 0; chunk_updates: expected 1 or more, got -1"),
    ],
)  # fmt: skip
def test_a_schedule_out_of_range_lists_its_faults(change, fault):
    with pytest.raises(ConfigError) as raised:
        ScheduleSettings(**SCHEDULE | change)
    assert str(raised.value) == fault


@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (lambda: FinalSettings(seeds=-1, stretch=0.5),
         "seeds: expected 0 or more, got -1; stretch: expected 1 or more, got 0.5"),
        (lambda: FinalSettings(seeds=3, stretch=float("nan")), "stretch: expected 1 or more, got nan"),
        (lambda: WinnerSettings(members=0, smallest=False), "members: expected 1 or more, got 0"),
    ],
)  # fmt: skip
def test_what_follows_the_trials_is_held_to_its_ranges(make, fault):
    with pytest.raises(ConfigError) as raised:
        make()
    assert str(raised.value) == fault


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"workers": 0}, "workers: expected 1 or more, got 0"),
        (
            {"nodes": 0, "address": "ray://head:10001"},
            "nodes: expected 1 or more, got 0; address: expected auto or HOST:PORT, for a search runs on a node, got "
            "ray://head:10001",
        ),
        ({"cpus_per_worker": 0.0}, "cpus_per_worker: expected above 0, got 0.0"),
        ({"gpus_per_worker": float("nan")}, "gpus_per_worker: expected 0 or more, got nan"),
    ],
)
def test_a_cluster_out_of_range_lists_its_faults(change, fault):
    ClusterSettings(**CLUSTER)
    with pytest.raises(ConfigError) as raised:
        ClusterSettings(**CLUSTER | change)
    assert str(raised.value) == fault


@pytest.mark.skipif("search" not in COMMANDS, reason="most settings are for the search command, which is not there")
def test_every_setting_is_read_by_a_command_as_section_dot_setting():
    read = {
        tuple(ast.unparse(node).split(".")[-2:])
        for path in CLI.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
    }
    by_others = {"task.title"}  # the name of a study is made of it, in search_spaces/method
    unread = [key for key in leaves(Settings).keys() - by_others if "." in key]
    unread = [key for key in unread if tuple(key.split(".")[-2:]) not in read]
    unread += [key for key in leaves(Settings) if "." not in key and not any(last == key for _, last in read)]
    assert unread == []


NO_LIMIT = dict(wall=None, device_hours=None, money=None, rate=None, flat=None)


@pytest.mark.parametrize(
    ("limits", "fault"),
    [
        ({"wall": "2 days"}, "wall: expected a time as 2h, 90m, 1h30m or 45s, got 2 days"),
        ({"wall": ""}, "wall: expected a time as 2h, 90m, 1h30m or 45s, got "),
        ({"device_hours": 0.0}, "device_hours: expected above 0, got 0.0"),
        ({"money": 5.0}, "money: expected budget.rate, the money an hour of one worker costs, got none"),
        ({"flat": 0}, "flat: expected 1 or more, got 0"),
        ({"rate": 0}, "rate: expected a price above 0, or one for each kind of node, got 0"),
        (
            {"rate": {"A100": -1.0}},
            "rate: expected a price above 0, or one for each kind of node, got {'A100': -1.0}",
        ),
        ({"rate": {}}, "rate: expected a price above 0, or one for each kind of node, got {}"),
        ({"rate": "cheap"}, "rate: expected a price above 0, or one for each kind of node, got cheap"),
    ],
)
def test_a_budget_out_of_range_is_refused(limits, fault):
    with pytest.raises(ConfigError) as raised:
        BudgetSettings(**NO_LIMIT | limits)
    assert str(raised.value) == fault
