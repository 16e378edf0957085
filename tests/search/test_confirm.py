"""Confirm runs: which are made, where, and what is recorded of them."""

import threading
from pathlib import Path

import pytest

from sp_search.search.confirm import confirm_number, pending_confirms, run_confirms
from sp_search.search.events import Listeners
from sp_search.search.study import best_trials, record_confirmed, trial_seed
from sp_search.types import Report
from tests.search.searches import lr_space, run_of, settings, study_of_three


@pytest.fixture
def study(tmp_path):
    return study_of_three(tmp_path)


class Told:
    """An observer that remembers, and from which thread it heard."""

    def __init__(self):
        self.events, self.threads = [], set()

    def _note(self, *event):
        self.events.append(event)
        self.threads.add(threading.current_thread())

    def trial_started(self, number, params, tags):
        self._note("started", number, dict(params), dict(tags))

    def reported(self, number, report):
        self._note("reported", number, report.utterances_seen, dict(report.metrics))

    def trial_finished(self, number, state, reason, metrics):
        self._note("finished", number, state, reason, dict(metrics))


class Seats:
    """Takes seats for runs that report what a table says; an exception there is raised."""

    def __init__(self, table=None):
        self.table, self.taken = table or {}, []

    def __call__(self, worker, number, params, *, seed, budget, folder):
        self.taken.append((worker, number, params["lr"], seed, budget, Path(folder).name))
        seats = self

        class Seat:
            def report(self, until):
                found = seats.table.get(number, 0.5)
                if isinstance(found, Exception):
                    raise found
                if found == "diverged":
                    return Report(until, {"train_loss": 9.0}, "training loss is nan")
                return Report(until, {"valid_accuracy": found, "valid_loss": 1.0, "secret": 3.0})

        return Seat()


def confirm(study, seats, workers=("w",), **changes):
    """Make the runs; what listeners heard, and which run left which worker."""
    told, left = Told(), []
    leave = {name: lambda number, name=name: left.append((name, number)) for name in workers}
    config = settings(Path("runs"), **changes)
    run_confirms(study, lr_space(), config, leave, Listeners([told]), seats)
    assert told.threads <= {threading.current_thread()}
    return told.events, left


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
    seats = Seats()
    events, left = confirm(study, seats, confirm_top=1, confirm_seeds=1)
    number, seed = confirm_number(0, 1), trial_seed(0, 0, 1)
    metrics = {"valid_accuracy": 0.5, "valid_loss": 1.0}
    assert seats.taken == [("w", number, 0.9, seed, 1600, str(number))]
    assert events == [
        ("started", number, {"lr": 0.9}, {"role": "confirm", "of_trial": "0", "seed": str(seed)}),
        ("reported", number, 100, metrics), ("reported", number, 400, metrics), ("reported", number, 1600, metrics),
        ("finished", number, "COMPLETE", "", {"valid_accuracy": 0.5}),
    ]  # fmt: skip
    assert study.user_attrs["confirmed"] == {"0:1": run_of(0.5) | {"state": f"runs/s/trials/{number}"}}
    assert left == [("w", number)]


def test_all_slots_of_all_workers_are_used_and_every_run_leaves_its_own(study):
    table = {confirm_number(t, r): 0.1 * t + 0.01 * r for t in range(3) for r in (1, 2)}
    seats = Seats(table)
    _, left = confirm(study, seats, workers=("v", "w"), slots=2, confirm_top=3, confirm_seeds=2)
    assert sorted(number for _, number in left) == sorted(table)
    assert sorted(left) == sorted((worker, number) for worker, number, *_ in seats.taken)
    recorded = {key: run["valid_accuracy"] for key, run in study.user_attrs["confirmed"].items()}
    assert recorded == {f"{t}:{r}": 0.1 * t + 0.01 * r for t in range(3) for r in (1, 2)}


def test_a_run_that_broke_or_diverged_is_told_and_not_recorded(study):
    seats = Seats({confirm_number(0, 1): RuntimeError("lost"), confirm_number(0, 2): "diverged"})
    events, left = confirm(study, seats, confirm_top=1, confirm_seeds=3)
    ends = {event[1]: event[2:4] for event in events if event[0] == "finished"}
    assert ends == {
        confirm_number(0, 1): ("FAIL", "the confirm run failed: RuntimeError('lost')"),
        confirm_number(0, 2): ("FAIL", "the confirm run diverged"),
        confirm_number(0, 3): ("COMPLETE", ""),
    }
    assert list(study.user_attrs["confirmed"]) == ["0:3"]
    assert len(left) == 3


def test_nothing_is_run_where_all_are_recorded(study):
    record_confirmed(study, "0:1", run_of(0.5))
    seats = Seats()
    assert confirm(study, seats, confirm_top=1, confirm_seeds=1) == ([], [])
    assert seats.taken == []
