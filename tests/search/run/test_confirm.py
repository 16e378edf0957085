"""Confirm runs: which are made, where, and what is recorded of them."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from sp_search.search.base.callbacks import Observers
from sp_search.search.base.protocol import TrialReport
from sp_search.search.run.confirm import confirm_number, pending_confirms, run_confirms
from sp_search.search.study.sampler import trial_seed
from sp_search.search.study.trials import best_trials, record_confirmed
from sp_search.types import Report
from tests.search.searches import lr_space, run_of, settings, study_of_three


@pytest.fixture
def study(tmp_path):
    return study_of_three(tmp_path)


class Heard:
    """An observer that remembers."""

    def __init__(self):
        self.events = []

    def trial_started(self, number, params, tags):
        self.events.append(("started", number, dict(params), dict(tags)))

    def reported(self, number, report):
        self.events.append(("reported", number, report.utterances_seen, dict(report.metrics)))

    def trial_finished(self, number, state, reason, metrics):
        self.events.append(("finished", number, state, reason, dict(metrics)))


class FewSeats:
    """Seats whose runs report what a table says, the last that asked first; an exception there is told instead."""

    def __init__(self, table=None, count=2):
        self.table, self.count = table or {}, count
        self.taken, self.asked, self.left, self.wanted = [], [], [], []
        self.is_free = True

    def take(self, wanted):
        self.taken.append(wanted)
        self.is_free = len(self.taken) - len(self.left) < self.count
        return SimpleNamespace(request=wanted)

    def ask(self, slot, after):
        self.asked.append((slot, after))

    def next_report(self):
        slot, after = self.asked.pop()
        found = self.table.get(slot.request.number, 0.5)
        if isinstance(found, Exception):
            return slot, found
        until = slot.request.next_point(after)
        if found == "diverged":
            return slot, TrialReport(Report(until, {"train_loss": 9.0}, "training loss is nan"), {}, 5)
        return slot, TrialReport(Report(until, {"valid_accuracy": found, "valid_loss": 1.0, "secret": 3.0}), {}, 5)

    def leave(self, slot):
        self.left.append(slot.request.number)

    def free(self, slot, *, is_wanted):
        self.wanted.append(is_wanted)
        self.is_free = True


def confirm(study, slots, runs=Path("runs"), **changes):
    """Make the runs; what listeners heard."""
    heard = Heard()
    run_confirms(study, lr_space(), settings(runs, **changes), slots, Observers([heard]))
    return heard.events


def test_the_best_settings_are_repeated_under_seeds_of_their_own(study):
    config = settings(Path("runs"), confirm_top=2, confirm_seeds=2)
    runs = pending_confirms(study, best_trials(study, 2), config)
    assert [(run.key, run.number, run.params, run.seed) for run in runs] == [
        ("0:1", confirm_number(0, 1), {"lr": 0.9}, trial_seed(0, 0, 1)),
        ("0:2", confirm_number(0, 2), {"lr": 0.9}, trial_seed(0, 0, 2)),
        ("1:1", confirm_number(1, 1), {"lr": 0.8}, trial_seed(0, 1, 1)),
        ("1:2", confirm_number(1, 2), {"lr": 0.8}, trial_seed(0, 1, 2)),
    ]


def test_a_run_that_is_recorded_is_not_made_again(study):
    record_confirmed(study, "0:1", run_of(0.5))
    config = settings(Path("runs"), confirm_top=1, confirm_seeds=2)
    assert [run.key for run in pending_confirms(study, best_trials(study, 1), config)] == ["0:2"]


def test_a_run_reports_at_every_point_and_is_recorded_with_its_last(study):
    slots = FewSeats()
    events = confirm(study, slots, confirm_top=1, confirm_seeds=1)
    number, seed = confirm_number(0, 1), trial_seed(0, 0, 1)
    metrics = {"valid_accuracy": 0.5, "valid_loss": 1.0}
    assert slots.taken == [settings(Path("runs")).request(number, {"lr": 0.9}, seed)]
    assert events == [
        ("started", number, {"lr": 0.9}, {"role": "confirm", "of_trial": "0", "seed": str(seed)}),
        ("reported", number, 100, metrics), ("reported", number, 400, metrics), ("reported", number, 1600, metrics),
        ("finished", number, "COMPLETE", "", {"valid_accuracy": 0.5}),
    ]  # fmt: skip
    assert study.user_attrs["confirmed"] == {"0:1": run_of(0.5, seed=seed, position=5)}
    assert slots.left == [number]


def test_runs_wait_for_a_seat_and_every_one_leaves_its_own(study):
    table = {confirm_number(t, r): 0.1 * t + 0.01 * r for t in range(3) for r in (1, 2)}
    slots = FewSeats(table)
    confirm(study, slots, confirm_top=3, confirm_seeds=2)
    assert sorted(slots.left) == sorted(wanted.number for wanted in slots.taken) == sorted(table)
    assert slots.wanted == [True] * 4 + [False] * 2
    recorded = {key: run["valid_accuracy"] for key, run in study.user_attrs["confirmed"].items()}
    assert recorded == {f"{t}:{r}": 0.1 * t + 0.01 * r for t in range(3) for r in (1, 2)}


def test_a_run_that_broke_or_diverged_is_told_and_not_recorded_and_leaves_no_state(study, tmp_path):
    slots = FewSeats({confirm_number(0, 1): RuntimeError("lost"), confirm_number(0, 2): "diverged"})
    folders = [settings(tmp_path).trial_folder(confirm_number(0, r)) for r in (1, 2, 3)]
    for folder in folders:
        folder.mkdir(parents=True)
    events = confirm(study, slots, tmp_path, confirm_top=1, confirm_seeds=3)
    ends = {event[1]: event[2:4] for event in events if event[0] == "finished"}
    assert ends == {
        confirm_number(0, 1): ("FAIL", "the run failed: RuntimeError('lost')"),
        confirm_number(0, 2): ("FAIL", "the run diverged"),
        confirm_number(0, 3): ("COMPLETE", ""),
    }
    assert list(study.user_attrs["confirmed"]) == ["0:3"]
    assert [folder.exists() for folder in folders] == [False, False, True]


def test_nothing_is_run_where_all_are_recorded(study):
    record_confirmed(study, "0:1", run_of(0.5))
    slots = FewSeats()
    assert confirm(study, slots, confirm_top=1, confirm_seeds=1) == []
    assert slots.taken == []
