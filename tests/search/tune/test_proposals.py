"""Which trials are proposed: by whose seed, the first ones, those known before, and how many."""

import optuna
import pytest
from optuna.trial import TrialState

from sp_search.search.study.sampler import read_sampler, sampler
from sp_search.search.study.trials import (
    REASON,
    REPORTS,
    TWIN_OF,
    past_reports,
)
from sp_search.search.tune.bounded import BoundedSampler
from sp_search.search.tune.index import TrialIndex
from sp_search.search.tune.optuna_searcher import REQUEST, StudySearcher
from tests.search.searches import lr_space
from tests.search.tune.searching import Search

FINISHED = StudySearcher.FINISHED


@pytest.mark.parametrize("seed", [0, 5])
def test_a_trial_is_drawn_by_the_seed_of_the_study_and_its_number(tmp_path, seed):
    search = Search(tmp_path, seed=seed)
    for name in "ab":
        search.run(name)
    for trial in search.study.trials:
        alone = optuna.create_study(sampler=sampler(search.settings.sampler, seed, trial.number))
        assert alone.ask().suggest_float("lr", 0.1, 0.9) == trial.params["lr"]


def test_a_pruned_trials_settings_are_answered_with_its_reports_too(tmp_path):
    search = Search(tmp_path, trials=3, space=lr_space({"lr": {"choice": [0.5, 0.25]}}), first_trials=(
        {"lr": 0.5}, {"lr": 0.25}, {"lr": 0.25},
    ))  # fmt: skip
    for name, value in (("a", 0.9), ("b", 0.1)):
        search.searcher.suggest(name)
        search.end(name, 100, value)
    assert search.searcher.suggest("c") == FINISHED
    twin = search.study.trials[-1]
    assert (twin.state, twin.value, twin.intermediate_values, twin.user_attrs[TWIN_OF]) == (
        TrialState.PRUNED, 0.1, {100: 0.1}, 1,
    )  # fmt: skip


def test_a_trial_begins_where_the_furthest_one_stands_in_the_stream(search):
    search.searcher.suggest("a")
    search.report("a", 100, 0.2, position=40)
    search.report("a", 200, 0.2, position=30)
    search.report("a", 300, 0.2)
    assert search.searcher.suggest("b")[REQUEST].position == 40
    assert search.study.trials[0].user_attrs[REPORTS] == {"100": [0, 40], "200": [1, 30], "300": [2, 0]}


@pytest.mark.parametrize(("name", "is_bounded"), [("tpe", True), ("random", False)])
def test_of_a_large_study_a_costly_sampler_sees_some_trials_and_all_that_run(tmp_path, monkeypatch, name, is_bounded):
    monkeypatch.setattr(TrialIndex, "is_large", property(lambda index: True))
    monkeypatch.setattr(TrialIndex, "seen_by_sampler", lambda index: ["some"])
    made = []
    monkeypatch.setattr(
        BoundedSampler, "__init__", lambda own, inner, seen: made.append((type(inner).__name__, seen))
    )
    monkeypatch.setattr(BoundedSampler, "__getattribute__", lambda own, wanted: getattr(RANDOM, wanted))
    search = Search(tmp_path, sampler=read_sampler(name))
    for trial in "ab":
        search.searcher.suggest(trial)
    live = [(kind, [one if one == "some" else one.number for one in seen]) for kind, seen in made]
    assert live == ([("TPESampler", ["some"]), ("TPESampler", ["some", 0])] if is_bounded else [])


RANDOM = optuna.samplers.RandomSampler(seed=0)


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
    copied = [event for event in search.heard.events if event[0] == "copied"]
    assert copied == [("copied", 1, "COMPLETE"), ("copied", 2, "COMPLETE")]
    assert [(r.number, r.seen) for r in past_reports(search.study)] == [(0, 100), (0, 1600)], "copies fill no rung"


def test_a_search_is_finished_when_all_trials_are_given(tmp_path):
    search = Search(tmp_path, trials=2)
    search.searcher.suggest("a")
    search.searcher.suggest("b")
    assert search.searcher.suggest("c") is None
    search.end("a", 1600, 0.5)
    search.end("b", 1600, 0.6)
    assert search.searcher.suggest("d") == FINISHED


def test_no_trial_is_given_while_all_slots_and_the_stage_are_taken(search):
    given = [search.searcher.suggest(str(i)) is not None for i in range(4)]
    assert given == [True, True, True, False]
    search.end("0", 1600, 0.5)
    assert search.searcher.suggest("5") is not None
