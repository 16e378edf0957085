"""The searcher: the study is told the truth about every end, and a killed search goes on."""

import errno
import os

import pytest
from optuna.trial import TrialState
from ray.exceptions import ActorDiedError

from sp_search.errors import ConfigError, StudyError
from sp_search.search.base.protocol import FACTS, TrialRequest
from sp_search.search.base.settings import KEPT
from sp_search.search.study.records import known_trials
from sp_search.search.study.sampler import trial_seed
from sp_search.search.study.trials import (
    FAILURES,
    OVER,
    REASON,
    trials_to_confirm,
    was_cut_short,
)
from sp_search.search.tune import recorder
from sp_search.search.tune.optuna_searcher import REQUEST, SEEN, StudySearcher
from sp_search.search.tune.scheduler import NUMBER
from sp_search.search.workers.setbacks import MOST_FULL
from tests.search.searches import lr_space
from tests.search.tune.searching import Search, save_state, state_of

FINISHED = StudySearcher.FINISHED


def test_a_trial_is_given_all_it_needs(search):
    config = search.searcher.suggest("a")
    trial = search.study.trials[0]
    folder = str(search.settings.trial_folder(0))
    wanted = TrialRequest(
        number=0,
        params=trial.params,
        seed=trial_seed(0, 0),
        budget=1600,
        points=(100, 400, 1600),
        folder=folder,
        study="print",
    )
    assert config == {NUMBER: 0, SEEN: 0, REQUEST: wanted}


def test_a_study_holds_all_that_a_tracker_was_told_of_its_trials_but_not_of_twins(tmp_path):
    space = lr_space({"lr": {"choice": [0.3]}})
    search = Search(tmp_path, space=space, trials=3)
    search.searcher.suggest("a")
    search.report("a", 100, 0.5, valid_loss=1.5, train_loss=2.0, other=9.0)
    search.end("a", 400, 0.25)
    search.searcher.suggest("b")  # equal settings: twins, whose results are copied
    (known,) = known_trials(search.study, space, "valid_accuracy")
    told = [event[2:] for event in search.heard.events if event[0] == "reported"]
    assert [*known.reports.items()] == told
    assert told[0] == (100, {"valid_accuracy": 0.5, "valid_loss": 1.5, "train_loss": 2.0})
    assert (known.number, known.params, known.state) == (0, {"lr": 0.3}, "PRUNED")


def test_a_new_trial_finds_nothing_in_its_folder_that_a_study_now_gone_has_left(search):
    save_state(search, 0)
    search.searcher.suggest("a")
    assert not search.settings.trial_folder(0).exists()


def test_a_trial_of_full_budget_is_complete_with_its_last_value(search):
    search.searcher.suggest("a")
    search.report("a", 100, 0.7)
    search.end("a", 1600, 0.6)
    trial = search.study.trials[0]
    assert (trial.state, trial.value, trial.intermediate_values) == (TrialState.COMPLETE, 0.6, {100: 0.7, 1600: 0.6})


def test_a_trial_that_asha_stopped_is_pruned_with_its_reports(search):
    search.searcher.suggest("a")
    search.report("a", 100, 0.2)
    search.end("a", 200, 0.3)
    trial = search.study.trials[0]
    assert (trial.state, trial.intermediate_values) == (TrialState.PRUNED, {100: 0.2, 200: 0.3})
    assert trial.user_attrs[REASON] == "stopped at a rung"


def test_a_trial_that_broke_has_failed_with_what_it_raised(search):
    search.searcher.suggest("a")
    search.fail("a")
    trial = search.study.trials[0]
    assert (trial.state, trial.user_attrs[REASON]) == (TrialState.FAIL, "RuntimeError: no memory")


def test_a_long_reason_is_cut(search):
    search.searcher.suggest("a")
    search.fail("a", RuntimeError("no " * 400))
    assert search.study.trials[0].user_attrs[REASON] == "RuntimeError: " + ("no " * 400)[:500]


def test_where_the_traceback_of_a_failed_trial_lies_is_said(search):
    search.searcher.suggest("a")
    log = search.settings.trial_log(0)
    log.parent.mkdir(parents=True)
    log.write_text("Traceback")
    search.fail("a")
    assert search.study.trials[0].user_attrs[REASON] == f"RuntimeError: no memory; its traceback is in {log}"


def test_a_trial_that_broke_is_tried_again_as_often_as_told_with_its_settings_and_reports(tmp_path):
    search = Search(tmp_path, retries=2, trials=1)
    first = search.searcher.suggest("a")
    search.report("a", 100, 0.3)
    search.fail("a")
    for name in "bc":
        again = search.searcher.suggest(name)
        assert (again[NUMBER], again[SEEN], again[REQUEST]) == (0, 100, first[REQUEST])
        assert state_of(search, 0) == TrialState.RUNNING
        search.fail(name)
    assert search.searcher.suggest("d") == FINISHED
    trial = search.study.trials[0]
    assert (trial.state, trial.user_attrs[FAILURES]) == (TrialState.FAIL, ["RuntimeError: no memory"] * 3)


def test_a_users_mistake_is_not_tried_again(tmp_path):
    search = Search(tmp_path, retries=2)
    search.searcher.suggest("a")
    search.fail("a", ConfigError("depth: expected at most 4, got 9"))
    assert state_of(search, 0) == TrialState.FAIL


def test_a_trial_that_finds_the_disk_full_again_and_again_ends_the_search_and_is_not_to_blame(tmp_path):
    search = Search(tmp_path, retries=0)
    for _ in range(MOST_FULL - 1):
        search.searcher.suggest("a")
        search.fail("a", OSError(errno.ENOSPC, "No space"))
    search.searcher.suggest("a")
    with pytest.raises(
        StudyError, match=r"^trial 0: expected room on the disk of .*, got \[Errno 28\] No space; free"
    ):
        search.fail("a", OSError(errno.ENOSPC, "No space"))
    assert state_of(search, 0) == TrialState.RUNNING


def test_a_lost_worker_counts_against_no_trial(tmp_path):
    search = Search(tmp_path, retries=0)
    first = search.searcher.suggest("a")
    for name in "bcd":
        search.fail("a" if name == "b" else chr(ord(name) - 1), ActorDiedError())
        assert search.searcher.suggest(name)[REQUEST] == first[REQUEST]
    assert (state_of(search, 0), FAILURES in search.study.trials[0].user_attrs) == (TrialState.RUNNING, False)


def test_no_search_is_finished_while_a_trial_runs_that_may_be_tried_again(tmp_path):
    search = Search(tmp_path, retries=1, trials=1)
    search.searcher.suggest("a")
    assert search.searcher.suggest("b") is None
    search.fail("a")
    assert search.searcher.suggest("b")[NUMBER] == 0


@pytest.mark.parametrize(("reported", "state"), [(True, TrialState.PRUNED), (False, TrialState.FAIL)])
def test_a_diverged_trial_is_pruned_with_its_reason_or_fails_where_it_never_reported(search, reported, state):
    search.searcher.suggest("a")
    if reported:
        search.report("a", 100, 0.2)
    search.end("a", 200, float("nan"), diverged="training loss is nan")
    trial = search.study.trials[0]
    assert (trial.state, trial.user_attrs[REASON]) == (state, "training loss is nan")


def test_a_trial_of_full_budget_leaves_its_prompt_and_a_pruned_one_does_not(search):
    search.searcher.suggest("a")
    search.searcher.suggest("b")
    search.end("b", 100, 0.2)
    search.end("a", 1600, 0.6, valid_loss=1.5)
    (kept,) = search.kept
    assert (kept.number, kept.member.seed, kept.metrics) == (
        0,
        trial_seed(0, 0),
        {"valid": {"accuracy": 0.6, "loss": 1.5}},
    )
    assert ("artifact", 0, kept.member.state / "prompt", "prompt") in search.heard.events


def test_a_trial_that_never_reported_is_told_without_a_value(search):
    search.searcher.suggest("a")
    search.end("a")
    search.run("b", 0.25)
    assert search.heard.last == {0: {}, 1: {"valid_accuracy": 0.25}}
    assert REASON not in search.study.trials[1].user_attrs


def test_folders_that_cannot_be_deleted_end_no_search(tmp_path, monkeypatch):
    """On NFS a file that is still open stays, as `.nfs0001`."""
    search = Search(tmp_path, trials=20)
    save_state(search, 0)
    monkeypatch.setattr(os, "rmdir", refuse)
    monkeypatch.setattr(os, "unlink", refuse)
    search.searcher.suggest("a")
    search.report("a", 100, 0.1)
    search.end("a")
    assert state_of(search, 0) == TrialState.PRUNED


def refuse(*args, **more):
    raise OSError("busy")


def test_the_room_of_a_prompt_is_that_of_the_studys_folder(search, monkeypatch):
    asked = []
    monkeypatch.setattr(recorder, "once_there_is_room", lambda folder, do: asked.append(folder) or do())
    search.run("a")
    assert asked == [search.settings.folder]


def test_observers_hear_of_starts_reports_and_ends(search):
    search.searcher.suggest("a")
    search.report("a", 100, 0.2, valid_loss=1.5, facts=(("x", 1),))
    search.end("a", 200, 0.3)
    assert search.heard.events == [
        ("started", 0, {"role": "search", "seed": str(trial_seed(0, 0))}),
        ("reported", 0, 100, {"valid_accuracy": 0.2, "valid_loss": 1.5}),
        ("reported", 0, 200, {"valid_accuracy": 0.3}),
        ("finished", 0, "PRUNED", "stopped at a rung"),
    ]
    assert search.heard.params == {0: search.study.trials[0].params}


def test_what_a_trial_weighs_is_in_the_study_and_with_what_is_kept(search):
    search.searcher.suggest("a")
    search.end("a", 1600, 0.5, facts=(("method", "prompt"), ("stored_bytes", 28)))
    assert search.study.trials[0].user_attrs[FACTS] == {"method": "prompt", "stored_bytes": 28}
    assert search.kept[0].facts == {"method": "prompt", "stored_bytes": 28}


def test_a_trial_that_is_not_kept_has_no_files_to_show(tmp_path):
    search = Search(tmp_path, keep=lambda finished: None)
    search.run("a")
    assert [event[0] for event in search.heard.events] == ["started", "reported", "finished"]


def test_only_the_best_full_trials_keep_their_states(tmp_path):
    search = Search(tmp_path, trials=KEPT + 3)
    for i in range(KEPT + 2):
        search.searcher.suggest(str(i))
        save_state(search, i)
        search.end(str(i), 1600, 0.1 * (i + 1))
    search.searcher.suggest("stopped")
    save_state(search, KEPT + 2)
    search.end("stopped", 100, 0.99)
    left = sorted(int(path.name) for path in (tmp_path / "s" / "trials").iterdir())
    assert left == list(range(2, KEPT + 2))


def test_a_file_of_nfs_among_the_trials_is_left_alone(search):
    trials = search.settings.folder / "trials"
    trials.mkdir(parents=True)
    (trials / ".nfs0001").write_text("held open")
    search.run("a")
    assert (trials / ".nfs0001").exists()


def test_a_search_that_is_over_asks_for_no_more_and_keeps_what_waits(tmp_path):
    """The trial that ran is told with its last report, wherever that was, and may still be confirmed."""
    search = Search(tmp_path)
    search.searcher.suggest("a")
    search.searcher.suggest("b")
    search.report("a", 100, 0.4)
    search.fail("b", ActorDiedError())  # its worker was lost: it waits
    search.searcher._why_over = lambda: "enough"
    assert search.searcher.suggest("c") is None, "one still runs"
    search.end("a", 250, 0.45)
    assert search.searcher.suggest("c") == "FINISHED"
    ended, waiting = search.study.trials
    assert (ended.state, ended.user_attrs[REASON]) == (TrialState.PRUNED, OVER)
    assert waiting.state == TrialState.RUNNING, "a start with a larger budget goes on with it"
    assert [trial.number for trial in trials_to_confirm(search.study, 2)] == [0]
    assert was_cut_short(search.study, 2)


def test_a_trial_that_a_stopped_search_left_ends_where_the_search_is_over_when_it_goes_on(tmp_path):
    first = Search(tmp_path)
    for name in ("a", "b"):
        first.searcher.suggest(name)
    first.report("a", 100, 0.4)
    search = Search(tmp_path)
    search.searcher._why_over = lambda: "enough"
    assert search.searcher.suggest("c") == "FINISHED"
    ended, waiting = search.study.trials
    assert (ended.state, ended.user_attrs[REASON]) == (TrialState.PRUNED, OVER)
    assert waiting.state == TrialState.RUNNING, "nothing is known of it: a start that may spend more goes on with it"
    assert [event[:2] for event in search.heard.events] == [("started", 0), ("finished", 0)]
