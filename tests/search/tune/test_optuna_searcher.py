"""The searcher: the study is told the truth about every end, and a killed search goes on."""

import optuna
import pytest
from optuna.trial import TrialState
from ray.exceptions import ActorDiedError

from sp_search.errors import ConfigError
from sp_search.search.base.callbacks import Observers
from sp_search.search.base.protocol import FACTS, METRIC, TIME, TrialRequest
from sp_search.search.study.study import FAILURES, REASON, REPORTS, TWIN_OF, past_reports, trial_seed
from sp_search.search.tune.asha import NUMBER, Asha
from sp_search.search.tune.optuna_searcher import KEPT, REQUEST, SEEN, StudySearcher
from tests.search.searches import lr_space, opened_study, settings

FINISHED = StudySearcher.FINISHED


class Heard:
    """An observer that remembers."""

    def __init__(self):
        self.events = []

    def trial_started(self, number, params, tags):
        self.events.append(("started", number, dict(tags)))

    def reported(self, number, report):
        self.events.append(("reported", number, report.utterances_seen, dict(report.metrics)))

    def artifact(self, number, path, artifact_path):
        self.events.append(("artifact", number, path, artifact_path))

    def trial_finished(self, number, state, reason, metrics):
        self.events.append(("finished", number, state, reason))


class Search:
    """A searcher on a study in a folder, with what it tells and keeps."""

    def __init__(self, runs, space=None, **changes):
        self.settings = settings(runs, **changes)
        opened = opened_study(runs)
        self.study = opened.study
        self.heard = Heard()
        self.kept = []
        asha = Asha(budget=1600, grace=100, reduction_factor=4, past=past_reports(self.study))
        self.searcher = StudySearcher(
            opened, space or lr_space(), self.settings, asha, Observers([self.heard]), self.keep
        )

    def keep(self, finished):
        self.kept.append(finished)
        return finished.state / "prompt"

    def report(self, tune_id, seen, value, **more):
        self.searcher.on_trial_result(tune_id, {TIME: seen, METRIC: value, self.settings.metric: value, **more})

    def end(self, tune_id, seen=None, value=None, **more):
        result = None if seen is None else {TIME: seen, METRIC: value, self.settings.metric: value, **more}
        self.searcher.on_trial_complete(tune_id, result)

    def fail(self, tune_id, error=None):
        self.searcher.on_trial_failed(tune_id, error or RuntimeError("no\n memory"))

    def run(self, tune_id, value=0.5):
        config = self.searcher.suggest(tune_id)
        self.end(tune_id, 1600, value)
        return config


@pytest.fixture
def search(tmp_path):
    return Search(tmp_path)


def state_of(search, number):
    return search.study.trials[number].state


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


def test_no_trial_is_given_while_all_slots_and_the_stage_are_taken(search):
    given = [search.searcher.suggest(str(i)) is not None for i in range(4)]
    assert given == [True, True, True, False]
    search.end("0", 1600, 0.5)
    assert search.searcher.suggest("5") is not None


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
    assert trial.user_attrs[REASON] == "stopped at a rung by ASHA"


def test_a_trial_that_broke_has_failed_with_what_it_raised(search):
    search.searcher.suggest("a")
    search.fail("a")
    trial = search.study.trials[0]
    assert (trial.state, trial.user_attrs[REASON]) == (TrialState.FAIL, "RuntimeError: no memory")


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
    assert (kept.number, kept.seed, kept.metrics) == (0, trial_seed(0, 0), {"valid": {"accuracy": 0.6, "loss": 1.5}})
    assert ("artifact", 0, kept.state / "prompt", "prompt") in search.heard.events


def test_observers_hear_of_starts_reports_and_ends(search):
    search.searcher.suggest("a")
    search.report("a", 100, 0.2, valid_loss=1.5, facts=(("x", 1),))
    search.end("a", 200, 0.3)
    assert search.heard.events == [
        ("started", 0, {"role": "search", "seed": str(trial_seed(0, 0))}),
        ("reported", 0, 100, {"valid_accuracy": 0.2, "valid_loss": 1.5}),
        ("reported", 0, 200, {"valid_accuracy": 0.3}),
        ("finished", 0, "PRUNED", "stopped at a rung by ASHA"),
    ]


def test_first_trials_are_tried_before_the_sampler_draws(tmp_path):
    search = Search(tmp_path, first_trials=({"lr": 0.11}, {"lr": 0.22}))
    assert [search.searcher.suggest(str(i))[REQUEST].params["lr"] for i in range(2)] == [0.11, 0.22]


def test_settings_tried_before_are_answered_from_the_study(tmp_path):
    search = Search(tmp_path, trials=3, space=lr_space({"lr": {"choice": [0.5]}}))
    search.searcher.suggest("a")
    search.report("a", 100, 0.4)
    search.end("a", 1600, 0.6)
    assert search.searcher.suggest("b") == FINISHED
    assert [trial.value for trial in search.study.trials] == [0.6, 0.6, 0.6]
    assert search.study.trials[2].user_attrs[REASON] == "same settings as trial 0"
    assert search.study.trials[2].user_attrs[TWIN_OF] == 0
    assert [(r.number, r.seen) for r in past_reports(search.study)] == [(0, 100), (0, 1600)], "copies fill no rung"


def test_a_search_is_finished_when_all_trials_are_given(tmp_path):
    search = Search(tmp_path, trials=2)
    search.searcher.suggest("a")
    search.searcher.suggest("b")
    assert search.searcher.suggest("c") is None
    search.end("a", 1600, 0.5)
    search.end("b", 1600, 0.6)
    assert search.searcher.suggest("d") == FINISHED


def save_state(search, number):
    folder = search.settings.trial_folder(number)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "state.pt").write_text("")


def test_what_a_trial_weighs_is_in_the_study_and_with_what_is_kept(search):
    search.searcher.suggest("a")
    search.end("a", 1600, 0.5, facts=(("method", "prompt"), ("stored_bytes", 28)))
    assert search.study.trials[0].user_attrs[FACTS] == {"method": "prompt", "stored_bytes": 28}
    assert search.kept[0].facts == {"method": "prompt", "stored_bytes": 28}


def test_a_trial_that_is_not_kept_has_no_files_to_show(search, monkeypatch):
    monkeypatch.setattr(search.searcher, "_keep", lambda finished: None)
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


def test_a_killed_search_goes_on_with_the_trials_it_had_before_new_ones(tmp_path):
    killed = Search(tmp_path)
    killed.run("done")
    for name in ("saved", "lost"):
        killed.searcher.suggest(name)
    killed.report("saved", 100, 0.3)
    killed.report("saved", 200, 0.4)
    search = Search(tmp_path)
    assert [trial.state for trial in search.study.trials] == [TrialState.COMPLETE, *[TrialState.RUNNING] * 2]
    continued, lost, new = (search.searcher.suggest(name) for name in "abc")
    assert (continued[NUMBER], continued[SEEN], continued[REQUEST].seed) == (1, 200, trial_seed(0, 1))
    assert (lost[NUMBER], lost[SEEN], lost[REQUEST].seed) == (2, 0, trial_seed(0, 2))
    for again in (continued, lost):
        assert again[REQUEST].params == killed.study.trials[again[NUMBER]].params
    assert (new[NUMBER], new[SEEN]) == (3, 0)
    search.end("a", 1600, 0.8)
    assert search.study.trials[1].intermediate_values == {100: 0.3, 200: 0.4, 1600: 0.8}


def test_reports_are_known_in_the_order_in_which_they_came(tmp_path):
    search = Search(tmp_path)
    for name in "ab":
        search.searcher.suggest(name)
    for name, seen in (("b", 100), ("a", 100), ("a", 400), ("b", 400)):
        search.report(name, seen, 0.3, position=seen)
    assert [(r.number, r.seen) for r in past_reports(Search(tmp_path).study)] == [
        (1, 100),
        (0, 100),
        (0, 400),
        (1, 400),
    ]
    assert search.study.trials[0].user_attrs[REPORTS] == {"100": [1, 100], "400": [2, 400]}


def test_a_search_that_goes_on_tells_its_workers_how_far_the_stream_had_come(tmp_path):
    killed = Search(tmp_path)
    killed.searcher.suggest("a")
    killed.report("a", 100, 0.3, position=77)
    assert Search(tmp_path).searcher.suggest("b")[REQUEST].position == 77


@pytest.mark.parametrize(
    ("reports", "state"),
    [({100: 0.1}, TrialState.PRUNED), ({100: 0.9}, TrialState.RUNNING), ({100: 0.9, 1600: 0.9}, TrialState.COMPLETE)],
)
def test_a_trial_whose_end_was_decided_but_not_told_is_told_when_the_search_goes_on(tmp_path, reports, state):
    killed = Search(tmp_path)
    for name in "ab":
        killed.searcher.suggest(name)
    killed.report("a", 100, 0.5)
    killed.end("a", 1600, 0.5)
    for seen, value in reports.items():
        killed.report("b", seen, value, facts=(("method", "prompt"),))
    search = Search(tmp_path)
    assert state_of(search, 1) == state
    assert [kept.number for kept in search.kept] == ([1] if state == TrialState.COMPLETE else [])
    if state == TrialState.COMPLETE:
        assert (search.kept[0].metrics, search.kept[0].facts) == ({"valid": {"accuracy": 0.9}}, {"method": "prompt"})


def test_first_trials_that_a_stopped_search_had_begun_are_run_with_their_values(tmp_path):
    first = ({"lr": 0.11}, {"lr": 0.22}, {"lr": 0.33})
    killed = Search(tmp_path, first_trials=first)
    killed.searcher.suggest("a")
    killed.searcher.suggest("b")
    search = Search(tmp_path, first_trials=first)
    given = [search.searcher.suggest(name) for name in "abc"]
    assert [(one[NUMBER], one[REQUEST].params["lr"]) for one in given] == [(0, 0.11), (1, 0.22), (2, 0.33)]


def test_a_search_stopped_while_it_drew_a_trial_draws_it_again(tmp_path, monkeypatch):
    undisturbed = Search(tmp_path / "a")
    wanted = undisturbed.searcher.suggest("a")[REQUEST]
    killed = Search(tmp_path / "b")
    monkeypatch.setattr(optuna.Trial, "set_user_attr", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        killed.searcher.suggest("a")
    monkeypatch.undo()
    again = Search(tmp_path / "b").searcher.suggest("a")[REQUEST]
    assert (again.number, again.params, again.seed) == (0, wanted.params, wanted.seed)


def test_one_slot_draws_the_same_trials_whether_it_is_stopped_between_them_or_not(tmp_path):
    def drawn(folder, stops):
        search, found = Search(folder, slots=1, trials=14), []
        while (config := search.searcher.suggest("a")) != FINISHED:
            found.append(config[REQUEST].params["lr"])
            if len(found) in stops:  # killed in its course, and begun again
                search = Search(folder, slots=1, trials=14)
                again = search.searcher.suggest("a")
                assert again[REQUEST].params["lr"] == found[-1]
            search.end("a", 1600, 1 - abs(found[-1] - 0.37))
        return found

    assert drawn(tmp_path / "a", ()) == drawn(tmp_path / "b", (1, 4, 9, 12, 13))


def test_a_file_of_nfs_among_the_trials_is_left_alone(search):
    trials = search.settings.folder / "trials"
    trials.mkdir(parents=True)
    (trials / ".nfs0001").write_text("held open")
    search.run("a")
    assert (trials / ".nfs0001").exists()


def test_a_continued_study_goes_up_to_its_total_and_no_further(tmp_path):
    first = Search(tmp_path, trials=2)
    for name in "ab":
        first.run(name)
    again = Search(tmp_path, trials=3)
    assert again.run("c")[NUMBER] == 2
    assert again.searcher.suggest("d") == FINISHED
    assert isinstance(again.study, optuna.Study)
