"""Runs under fresh seeds: which are made, where, and what is recorded of them."""

import errno
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from sp_search.errors import ConfigError, StudyError
from sp_search.search.base.callbacks import Observers
from sp_search.search.base.protocol import TrialReport
from sp_search.search.run.seed_runs import confirm_run, final_run, final_runs, train_runs
from sp_search.search.study.sampler import trial_seed
from sp_search.search.study.trials import best_trials, record_run
from sp_search.search.workers.setbacks import MOST_FULL
from sp_search.types import Member, Report
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

    def measured(self, number, report):
        self.events.append(("measured", number, report.utterances_seen, dict(report.metrics)))

    def reported(self, number, report):
        self.events.append(("reported", number, report.utterances_seen, dict(report.metrics)))

    def trial_finished(self, number, state, reason, metrics):
        self.events.append(("finished", number, state, reason, dict(metrics)))


@dataclass(frozen=True)
class Interim:
    """A value that is measured between two reports."""

    value: float


class FewSeats:
    """Seats whose runs report what a table says, the last that asked first; an exception there is told instead."""

    def __init__(self, table=None, count=2):
        self.table, self.count = table or {}, count
        self.taken, self.asked, self.left, self.wanted, self.again = [], [], [], [], []
        self.is_free = True

    def take(self, wanted):
        self.taken.append(wanted)
        self.is_free = len(self.taken) - len(self.left) < self.count
        return SimpleNamespace(request=wanted)

    def ask(self, slot, after):
        self.asked.append((slot, after))

    def ask_again(self, slot, after):
        self.again.append((slot.request.number, after))
        self.ask(slot, after)

    def next_report(self):
        slot, after = self.asked.pop()
        found = self.table.get(slot.request.number, 0.5)
        if isinstance(found, list):
            found = found.pop(0) if found else 0.5
        if isinstance(found, Exception):
            return slot, found
        if isinstance(found, Interim):
            return slot, TrialReport(Report(after + 1, {"valid_accuracy": found.value}), {}, 5, interim=True)
        until = slot.request.next_point(after)
        if found == "diverged":
            return slot, TrialReport(Report(until, {"train_loss": 9.0}, "training loss is nan"), {}, 5)
        return slot, TrialReport(Report(until, {"valid_accuracy": found, "valid_loss": 1.0, "secret": 3.0}), {}, 5)

    def all_of(self, refs):
        return list(refs)

    def leave(self, slot):
        self.left.append(slot.request.number)

    def free(self, slot, *, is_wanted):
        assert slot.request.number == self.left[-1]
        self.wanted.append(is_wanted)
        self.is_free = True


def train(study, slots, runs=Path("runs"), top=1, seeds=1, role="confirm", retries=0):
    """Make runs of the best settings; what listeners heard."""
    heard, config = Heard(), settings(runs, final_seeds=seeds, retries=retries)
    make = {"confirm": confirm_run, "final": final_run}[role]
    wanted = [make(trial, r, config) for trial in best_trials(study, top) for r in range(1, seeds + 1)]
    train_runs(wanted, study, lr_space(), config, slots, Observers([heard]))
    return heard.events


def number_of(trial, repeat):
    return 1_000_000 + 1000 * trial + repeat


def test_runs_of_a_setting_have_seeds_and_numbers_of_their_own(study):
    config = settings(Path("runs"))
    (trial,) = best_trials(study, 1)
    confirm, final = confirm_run(trial, 2, config), final_run(trial, 2, config)
    assert (confirm.key, confirm.number, confirm.params, confirm.seed, confirm.budget) == (
        "0:2", 1_000_002, {"lr": 0.9}, trial_seed(0, 0, 2), 1600,
    )  # fmt: skip
    assert (final.key, final.number, final.params, final.budget) == ("0:2", 2_000_002, {"lr": 0.9}, 3200)
    assert len({make(trial, r, config).seed for make in (confirm_run, final_run) for r in range(1, 600)}) == 2 * 599


@pytest.mark.parametrize("repeat", [1, 500, 501, 600])
def test_seeds_follow_from_those_of_the_study_and_the_trial(study, repeat):
    config = settings(Path("runs"), seed=3)
    trial = best_trials(study, 2)[1]
    place = repeat if repeat <= 500 else 1_000_000 + repeat
    assert confirm_run(trial, repeat, config).seed == trial_seed(3, 1, place)
    assert final_run(trial, repeat, config).seed == trial_seed(3, 1, 500 + repeat)
    wanted = [final_run(trial, r, replace(config, final_seeds=2)) for r in (1, 2)]
    assert final_runs(trial, replace(config, final_seeds=2)) == wanted


def test_a_run_that_answers_alone_is_told_whole(study, tmp_path):
    config = settings(tmp_path)
    run = final_run(best_trials(study, 1)[0], 1, config)
    assert run.member(config) == Member(
        share=1.0,
        trial=0,
        seed=run.seed,
        params={"lr": 0.9},
        budget=3200,
        state=config.trial_folder(2_000_001),
    )
    assert run.request(config) == config.request(2_000_001, {"lr": 0.9}, run.seed, 0, budget=3200)


def test_a_run_begins_where_the_stream_of_batches_stands(study):
    record_run(study, "confirm", "1:1", run_of(0.5, position=40))
    slots = FewSeats()
    train(study, slots)
    assert [request.position for request in slots.taken] == [40]
    assert slots.asked == []


def test_what_is_measured_between_reports_is_told_apart_and_does_not_end_a_full_disks_count(study, tmp_path):
    full = OSError(errno.ENOSPC, "No space")
    (tmp_path / "s").mkdir(exist_ok=True)
    events = train(study, FewSeats({number_of(0, 1): [Interim(0.4), 0.5]}), tmp_path)
    assert [event[:3] for event in events[1:3]] == [
        ("measured", number_of(0, 1), 1),
        ("reported", number_of(0, 1), 100),
    ]
    again_and_again = [one for _ in range(MOST_FULL + 1) for one in (full, Interim(0.5))]
    with pytest.raises(StudyError, match=r"^confirm run 1 of trial 1: expected room on the disk of "):
        train_runs(
            [confirm_run(best_trials(study, 2)[1], 1, settings(tmp_path))], study, lr_space(), settings(tmp_path),
            FewSeats({number_of(1, 1): again_and_again}), Observers([]),
        )  # fmt: skip


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_value_that_is_no_number_is_not_told(study, value):
    events = train(study, FewSeats({number_of(0, 1): [value, 0.5]}))
    assert [event[2] for event in events if event[0] == "reported"] == [400, 1600]


def test_a_run_that_is_recorded_is_not_made_again(study):
    record_run(study, "confirm", "0:1", run_of(0.5))
    slots = FewSeats()
    train(study, slots, seeds=2)
    assert [request.number for request in slots.taken] == [number_of(0, 2)]


def test_a_final_run_is_not_the_confirm_run_of_the_same_repeat(study):
    record_run(study, "confirm", "0:1", run_of(0.5))
    slots = FewSeats()
    events = train(study, slots, role="final")
    (request,) = slots.taken
    assert (request.number, request.budget, request.points) == (2_000_001, 3200, (100, 400, 1600, 3200))
    assert [event[2] for event in events if event[0] == "reported"] == [100, 400, 1600, 3200]
    assert list(study.user_attrs["final"]) == ["0:1"]


def test_a_run_reports_at_every_point_and_is_recorded_with_its_last(study):
    slots = FewSeats()
    events = train(study, slots)
    number, seed = number_of(0, 1), trial_seed(0, 0, 1)
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
    table = {number_of(t, r): 0.1 * t + 0.01 * r for t in range(3) for r in (1, 2)}
    slots = FewSeats(table)
    train(study, slots, top=3, seeds=2)
    assert sorted(slots.left) == sorted(wanted.number for wanted in slots.taken) == sorted(table)
    assert slots.wanted == [True] * 4 + [False] * 2
    recorded = {key: run["valid_accuracy"] for key, run in study.user_attrs["confirmed"].items()}
    assert recorded == {f"{t}:{r}": 0.1 * t + 0.01 * r for t in range(3) for r in (1, 2)}


def test_a_run_that_broke_or_diverged_is_told_and_not_recorded_and_leaves_no_state(study, tmp_path):
    slots = FewSeats({number_of(0, 1): RuntimeError("lost"), number_of(0, 2): "diverged"})
    folders = [settings(tmp_path).trial_folder(number_of(0, r)) for r in (1, 2, 3)]
    for folder in folders:
        folder.mkdir(parents=True)
    events = train(study, slots, tmp_path, seeds=3)
    ends = {event[1]: event[2:4] for event in events if event[0] == "finished"}
    assert ends == {
        number_of(0, 1): ("FAIL", "the run failed: RuntimeError('lost')"),
        number_of(0, 2): ("FAIL", "the run diverged"),
        number_of(0, 3): ("COMPLETE", ""),
    }
    assert list(study.user_attrs["confirmed"]) == ["0:3"]
    assert [folder.exists() for folder in folders] == [False, False, True]


def test_a_run_that_diverged_is_not_told_as_a_report(study):
    """It has no metric that decides, which every display looks for."""
    events = train(study, FewSeats({number_of(0, 1): [0.5, "diverged"]}))
    assert [event[:3] for event in events[1:]] == [
        ("reported", number_of(0, 1), 100), ("finished", number_of(0, 1), "FAIL"),
    ]  # fmt: skip


def test_a_run_that_broke_is_tried_again_from_its_last_report_as_often_as_told(study, tmp_path):
    broken = [0.5, RuntimeError("lost")]
    slots = FewSeats({number_of(0, 1): [*broken], number_of(0, 2): [*broken, broken[1]]})
    events = train(study, slots, tmp_path, seeds=2, retries=1)
    assert sorted(slots.again) == [(number_of(0, 1), 100), (number_of(0, 2), 100)]
    assert {event[1]: event[2] for event in events if event[0] == "finished"} == {
        number_of(0, 1): "COMPLETE", number_of(0, 2): "FAIL",
    }  # fmt: skip


def test_a_users_mistake_is_not_tried_again(study, tmp_path):
    slots = FewSeats({number_of(0, 1): [ConfigError("depth: expected at most 4, got 9")]})
    train(study, slots, tmp_path, retries=3)
    assert slots.again == []


def test_a_full_disk_fails_no_run_and_drops_no_state(study, tmp_path):
    full = OSError(errno.ENOSPC, "No space")
    slots = FewSeats({number_of(0, r): [0.5, full, full] for r in (1, 2)})
    folders = [settings(tmp_path).trial_folder(number_of(0, r)) for r in (1, 2)]
    for folder in folders:
        folder.mkdir(parents=True)
    events = train(study, slots, tmp_path, seeds=2)
    assert [event[2] for event in events if event[0] == "finished"] == ["COMPLETE"] * 2
    assert all(folder.exists() for folder in folders)


def test_a_run_that_finds_the_disk_full_again_and_again_ends_the_search(study, tmp_path):
    (tmp_path / "s").mkdir(exist_ok=True)
    slots = FewSeats({number_of(0, 1): OSError(errno.ENOSPC, "No space")})
    with pytest.raises(StudyError, match=r"^confirm run 1 of trial 0: expected room on the disk of .*; free some"):
        train(study, slots, tmp_path)


def test_nothing_is_run_where_all_are_recorded(study):
    record_run(study, "confirm", "0:1", run_of(0.5))
    slots = FewSeats()
    assert train(study, slots) == []
    assert slots.taken == []
