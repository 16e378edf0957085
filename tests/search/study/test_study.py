"""The study: what it is about, how trials left by a killed search end, which are best."""

import dataclasses
import re

import optuna
import pytest
from optuna.trial import TrialState

from sp_search.errors import StudyError, UserError
from sp_search.search.study import study as study_file
from sp_search.search.study.sampler import read_sampler, sampler, trial_seed
from sp_search.search.study.study import StudyIdentity, check_storage, load_study, open_study
from sp_search.search.study.trials import (
    PARAMS,
    REASON,
    SEED,
    STOPPED,
    best_trials,
    counts,
    record_run,
    trials_to_confirm,
)

ABOUT = StudyIdentity("intent", "demo", "lm-print", "demo", "data-print")


CONTRACT = {"seed": 0, "budget": 1600, "space.lr": "0.1 to 0.9", "dtype": "float32"}


def opened(folder, identity=ABOUT, name="s", dtype="float32", **contract):
    """A study as a process would open it that ends at once."""
    found = open_study(name, None, folder, identity, {**CONTRACT, **contract}, dtype)
    found.close()
    return found.study


def add(study, value=None, state=TrialState.COMPLETE, params=None, reports=None, reason=""):
    trial = study.ask()
    trial.set_user_attr(PARAMS, params or {"n": trial.number})
    trial.set_user_attr(SEED, 1)
    trial.set_user_attr(REASON, reason)
    for seen, reported in (reports or {}).items():
        trial.report(reported, seen)
    if state != TrialState.RUNNING:
        study.tell(trial, value, state=state)
    return trial.number


def test_a_study_opened_again_has_its_trials(tmp_path):
    add(opened(tmp_path), 0.5, reports={100: 0.2, 200: 0.5})
    (trial,) = opened(tmp_path).trials
    assert (trial.number, trial.intermediate_values) == (0, {100: 0.2, 200: 0.5})


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"data_fingerprint": "other"}, "data fingerprint data-print; got data fingerprint other; give that again"),
        ({"lm_fingerprint": "other"}, "lm fingerprint lm-print; got lm fingerprint other"),
        ({"task": "keyword"}, "task intent; got task keyword"),
    ],
)  # fmt: skip
def test_a_study_of_that_name_about_something_else_is_refused(tmp_path, change, fault):
    opened(tmp_path)
    with pytest.raises(StudyError, match=f"^study s: expected what it was begun with, {fault}"):
        opened(tmp_path, dataclasses.replace(ABOUT, **change))


@pytest.mark.parametrize(("name", "value"), [("seed", 1), ("budget", 3200), ("space.lr", "0.1 to 0.8"), ("new", 3)])
def test_a_study_begun_otherwise_is_refused(tmp_path, name, value):
    opened(tmp_path)
    with pytest.raises(
        StudyError, match=rf"{name} {value}; give that again, or name another study \(study=NAME warm"
    ):
        opened(tmp_path, **{name: value})


def test_all_differences_are_in_one_message(tmp_path):
    opened(tmp_path)
    with pytest.raises(StudyError) as caught:
        opened(tmp_path, dataclasses.replace(ABOUT, task="asr"), seed=4, budget=9)
    assert str(caught.value) == (
        "study s: expected what it was begun with, task intent, seed 0, budget 1600; got task asr, seed 4, budget 9; "
        "give that again, or name another study (study=NAME warm_start=s tries its best settings first)"
    )


def test_a_study_that_goes_on_keeps_the_arithmetic_it_began_in_unless_another_is_asked_for_by_name(tmp_path):
    opened(tmp_path, dtype="auto")
    found = open_study("s", None, tmp_path, ABOUT, CONTRACT | {"dtype": "bfloat16"}, "auto")
    assert found.begun_as["dtype"] == "float32"
    found.close()
    with pytest.raises(StudyError, match="expected what it was begun with, dtype float32; got dtype bfloat16"):
        open_study("s", None, tmp_path, ABOUT, CONTRACT | {"dtype": "bfloat16"}, "bfloat16")


def test_a_study_of_before_the_record_is_refused(tmp_path):
    (tmp_path / "new").mkdir()
    storage = optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend(str(tmp_path / "journal.log"))
    )
    optuna.create_study(study_name="s", storage=storage).add_trial(optuna.create_trial(value=0.5))
    with pytest.raises(StudyError, match="expected a study that records what it was begun as, got one of an earlier"):
        opened(tmp_path)


def test_two_searches_of_one_study_are_refused_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(study_file, "LOCK_WAIT_S", 0.1)
    first = open_study("s", None, tmp_path, ABOUT, CONTRACT)
    with pytest.raises(StudyError, match="study s: expected no other search of it, found one that is running"):
        opened(tmp_path)
    first.close()
    opened(tmp_path)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("nonsense", "ArgumentError"),
        ("postgresql+nodriver://u:secret@localhost/x", "NoSuchModuleError"),
        ("sqlite:////nowhere/at/all.db", "OperationalError"),
    ],
)
def test_a_database_that_cannot_be_opened_is_one_line_without_its_password(tmp_path, url, why):
    with pytest.raises(
        StudyError, match=rf"^cluster.storage: expected a database that Optuna can open .*{why}"
    ) as caught:
        open_study("s", url, tmp_path, ABOUT, CONTRACT)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("nonsense", "ArgumentError"),
        ("foo://x", "NoSuchModuleError"),
        ("postgresql+nodriver://u:secret@localhost/x", "NoSuchModuleError"),
        ("sqlite:////proc/x/y.db", r"cluster\.storage: expected a folder that can be written, got /proc/x"),
    ],
)
def test_a_database_that_can_never_be_opened_is_refused_without_connecting(url, why):
    with pytest.raises(UserError, match=why) as caught:
        check_storage(url)
    assert "secret" not in str(caught.value)


def test_a_database_that_may_come_up_is_no_mistake_and_nothing_is_made(tmp_path):
    check_storage(f"sqlite:///{tmp_path}/new/study.db")
    check_storage("sqlite://")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_place_of_the_journal_is_one_line(tmp_path):
    (tmp_path / "journal.log").mkdir()
    message = f"{tmp_path}/journal.log: expected a study's journal that can be read and written, got Is a directory"
    with pytest.raises(StudyError, match="^" + re.escape(message)):
        opened(tmp_path)


def test_another_programs_study_is_named_by_who_reads_one(tmp_path):
    (tmp_path / "s").mkdir()
    optuna.create_study(study_name="s", storage=study_file._storage(None, tmp_path / "s"))
    with pytest.raises(
        StudyError, match=r"^study s: expected one that a search has begun, got another program's in "
    ):
        load_study("s", None, tmp_path / "s")


def test_a_study_moved_to_another_path_is_the_same_study(tmp_path):
    add(opened(tmp_path), 0.5)
    study = opened(tmp_path, dataclasses.replace(ABOUT, data="elsewhere", lm="elsewhere"))
    assert counts(study) == {"complete": 1, "pruned": 0, "failed": 0}


def test_the_best_are_those_of_full_budget_each_setting_once(tmp_path):
    study = opened(tmp_path)
    add(study, 0.5, params={"lr": 1})
    add(study, 0.9, params={"lr": 2})
    add(study, 0.8, params={"lr": 2})
    add(study, 0.7, params={"lr": 3})
    add(study, state=TrialState.PRUNED, reports={100: 0.99})
    assert [trial.number for trial in best_trials(study, 2)] == [1, 3]


def test_what_asha_stopped_last_is_confirmed_where_too_few_reached_the_full_budget(tmp_path):
    study = opened(tmp_path)
    add(study, 0.5, params={"lr": 1})
    for number, (reports, reason) in enumerate(
        [
            ({100: 0.9}, STOPPED),
            ({100: 0.2, 400: 0.3}, STOPPED),
            ({100: 0.1, 400: 0.4}, STOPPED),
            ({100: 0.7, 800: 0.9}, "training loss is nan"),
        ],
        start=2,
    ):
        add(study, state=TrialState.PRUNED, params={"lr": number}, reports=reports, reason=reason)
    assert [trial.number for trial in trials_to_confirm(study, 1)] == [0]
    assert [trial.number for trial in trials_to_confirm(study, 3)] == [0, 3, 2]
    assert [trial.number for trial in trials_to_confirm(study, 9)] == [0, 3, 2, 1]


def test_a_study_without_a_full_trial_has_no_best_and_says_what_to_do(tmp_path):
    study = opened(tmp_path)
    add(study, state=TrialState.PRUNED, reports={100: 0.99})
    with pytest.raises(
        StudyError, match="study s: expected a trial that reached its full budget, found none; raise trials="
    ):
        best_trials(study, 3)


def test_confirm_runs_are_kept_one_by_one(tmp_path):
    record_run(opened(tmp_path), "confirm", "3:1", {"valid_accuracy": 0.5})
    record_run(opened(tmp_path), "confirm", "3:2", {"valid_accuracy": 0.6})
    assert opened(tmp_path).user_attrs["confirmed"] == {
        "3:1": {"valid_accuracy": 0.5}, "3:2": {"valid_accuracy": 0.6},
    }  # fmt: skip


def test_every_trial_and_repeat_of_every_study_has_its_own_seed():
    seeds = {trial_seed(study, number, repeat) for study in range(3) for number in range(50) for repeat in range(4)}
    assert len(seeds) == 3 * 50 * 4
    assert trial_seed(1, 2, 3) == trial_seed(1, 2, 3)


def test_what_a_trial_draws_follows_from_the_seed_and_the_trials_before_it(tmp_path):
    def draw(study, seed):
        study.sampler = sampler(read_sampler("tpe"), seed, len(study.trials))
        trial = study.ask()
        value = trial.suggest_float("lr", 0.0, 1.0)
        study.tell(trial, value)
        return value

    first = [draw(opened(tmp_path / "a"), 0) for _ in range(12)]  # opened anew for each
    study = opened(tmp_path / "b")
    assert [draw(study, 0) for _ in range(12)] == first
    assert len(set(first)) == 12
    assert draw(opened(tmp_path / "c"), 1) != first[0]
    assert optuna.logging.get_verbosity() == optuna.logging.WARNING


def test_the_sampler_knows_conditions_and_trials_in_flight():
    """TPE over groups of parameters that go together, with a lie about what still runs (Optuna's own names)."""
    drawn = sampler(read_sampler("tpe"), 0, 0)
    assert (drawn._group, drawn._constant_liar, drawn._multivariate) == (True, True, True)


def test_a_study_whose_budget_was_spent_before_a_trial_ended_says_so(tmp_path):
    study = opened(tmp_path)
    study.ask()
    with pytest.raises(StudyError, match=r"spent before any of 1 begun trials ended; raise budget\.wall"):
        trials_to_confirm(study, 2)
