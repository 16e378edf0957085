"""A search that was stopped or killed goes on with what its study knows."""

import optuna
import pytest
from optuna.trial import TrialState

from sp_search.search.study.sampler import trial_seed
from sp_search.search.study.trials import (
    MEASURED,
    METRICS,
    PARAMS,
    REASON,
    REPORTS,
    SEED,
    STOPPED,
    past_reports,
)
from sp_search.search.tune.optuna_searcher import REQUEST, SEEN, StudySearcher
from sp_search.search.tune.scheduler import NUMBER
from tests.search.tune.searching import Search, state_of

FINISHED = StudySearcher.FINISHED


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


def test_a_search_stopped_before_a_trial_had_its_values_draws_the_same_ones_again(tmp_path, monkeypatch):
    wanted = Search(tmp_path / "a").searcher.suggest("a")[REQUEST]
    killed = Search(tmp_path / "b")
    monkeypatch.setattr(optuna.Trial, "suggest_float", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        killed.searcher.suggest("a")
    monkeypatch.undo()
    again = Search(tmp_path / "b").searcher.suggest("a")[REQUEST]
    assert (again.number, again.params, again.seed) == (0, wanted.params, wanted.seed)


def test_first_trials_of_a_search_stopped_before_its_first_trial_are_run_once(tmp_path):
    first = ({"lr": 0.11}, {"lr": 0.22})
    Search(tmp_path, first_trials=first)  # stopped while its workers start
    search = Search(tmp_path, first_trials=first)
    assert [search.searcher.suggest(name)[REQUEST].params["lr"] for name in "ab"] == [0.11, 0.22]
    assert len(search.study.trials) == 2


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


def test_a_continued_study_goes_up_to_its_total_and_no_further(tmp_path):
    first = Search(tmp_path, trials=2)
    for name in "ab":
        first.run(name)
    again = Search(tmp_path, trials=3)
    assert again.run("c")[NUMBER] == 2
    assert again.searcher.suggest("d") == FINISHED
    assert isinstance(again.study, optuna.Study)


def test_what_a_trial_had_told_is_kept_when_it_goes_on_and_tells_more_again_and_again(tmp_path):
    """Ray's rungs are filled from it: a report without its place in the order would be none of them."""
    for start, seen in enumerate((100, 200, 300)):
        search = Search(tmp_path)
        search.searcher.suggest("a")
        search.report("a", seen, 0.3 + 0.1 * start, position=seen)
        search.measure("a", seen + 50, 0.35)
    frozen = Search(tmp_path).study.trials[0]
    assert [(r.number, r.seen) for r in past_reports(search.study)] == [(0, 100), (0, 200), (0, 300)]
    assert frozen.user_attrs[REPORTS] == {"100": [0, 100], "200": [1, 200], "300": [2, 300]}
    assert list(frozen.user_attrs[METRICS]) == ["100", "200", "300"]
    assert list(frozen.user_attrs[MEASURED]) == ["150", "250", "350"]


def test_a_trial_stopped_between_its_values_and_its_seed_is_drawn_again(tmp_path, monkeypatch):
    killed = Search(tmp_path)
    trial = killed.study.ask()
    trial.set_user_attr(PARAMS, {"lr": 0.5})
    search = Search(tmp_path)
    config = search.searcher.suggest("a")
    assert (config[NUMBER], config[SEEN]) == (0, 0)
    assert search.study.trials[0].user_attrs[SEED] == trial_seed(0, 0)


def test_how_a_trial_ended_that_an_earlier_start_left_is_told_with_its_last_value(tmp_path):
    killed = Search(tmp_path)
    for name in "ab":
        killed.searcher.suggest(name)
    killed.report("a", 100, 0.5)
    killed.report("a", 1600, 0.5)
    killed.report("b", 100, 0.1)
    search = Search(tmp_path)
    assert [event for event in search.heard.events if event[0] == "finished"] == [
        ("finished", 0, "COMPLETE", ""), ("finished", 1, "PRUNED", STOPPED),
    ]  # fmt: skip
    assert search.heard.last == {0: {"valid_accuracy": 0.5}, 1: {"valid_accuracy": 0.1}}
    assert [trial.user_attrs.get(REASON) for trial in search.study.trials] == [None, STOPPED]
    assert [dict(one.facts) for one in search.kept] == [{}]
