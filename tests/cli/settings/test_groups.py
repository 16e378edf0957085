"""What the groups of settings make together: a task, a method, a schedule and a corpus."""

from dataclasses import replace

import pytest

from sp_search.cli.settings.compose import load_settings
from sp_search.cli.wiring.factories import task_asked_for
from sp_search.config import Settings
from sp_search.engine.trial.hparams import TrialHParams, parameter_limits
from sp_search.errors import ConfigError
from sp_search.rivals.settings import RivalSettings, is_rival
from sp_search.search.base.space import read_params, read_space
from sp_search.search.estimate.cost_estimate import draws
from sp_search.tasks.registry import TASKS


@pytest.mark.parametrize("task", sorted(TASKS))
def test_each_task_has_its_settings_and_a_space_of_its_name(task):
    settings = load_settings([f"task={task}"], Settings)
    read_space(settings.space, parameter_limits(4), layers=4)
    asked = task_asked_for(settings)
    assert (settings.task.name, settings.study) == (task, f"{task}-demo-demo")
    assert (asked.decoding, asked.answer_format) == ("best" if asked.slots else "free", "words")


@pytest.mark.parametrize("task", ["asr", "slots"])
def test_answers_are_written_in_characters_on_a_corpus_of_ones_own_and_where_it_is_said(task, tmp_path):
    """The demo has few words, so they are its symbols."""
    own, said = [f"data={tmp_path}"], ["task.answer_format=characters"]
    for words in (own, said):
        assert load_settings([f"task={task}", *words], Settings).task.answer_format == "characters"


@pytest.mark.parametrize("task", sorted(TASKS))
def test_what_a_task_tries_first_lies_in_its_space(task):
    settings = load_settings([f"task={task}"], Settings)
    ranges = {r.name: r for r in read_space(settings.space, parameter_limits(4), layers=4).ranges}
    for first in settings.schedule.first_trials:
        params = read_params(first, parameter_limits(4), layers=4)
        outside = {
            name: value
            for name, value in params.items()
            if name in ranges and not may_be(ranges[name].kind, ranges[name].values, value)
        }
        assert outside == {}


def may_be(kind, values, value):
    return values[0] <= value <= values[1] if kind in ("int", "float") else value in values


def test_a_task_that_writes_tries_fewer_settings_and_words_still_come_last():
    assert load_settings(["task=asr"], Settings).schedule.trials == 10
    assert load_settings(["task=asr", "trials=5"], Settings).schedule.trials == 5
    assert load_settings(["task=asr"], Settings).schedule.budget == 32000  # the demo's


def test_tasks_that_choose_their_answer_are_searched_alike(tmp_path):
    intent, *others = (
        load_settings([f"task={task}", f"data={tmp_path}"], Settings) for task in ("intent", "keyword", "label")
    )
    assert all((other.schedule, other.space) == (intent.schedule, intent.space) for other in others)


def test_a_task_on_the_demo_may_have_another_budget_than_the_demo_and_than_the_task(tmp_path):
    def budget(*words):
        return load_settings(words, Settings).schedule.budget

    assert (budget("task=intent"), budget("task=asr")) == (16000, 32000)
    assert (budget("task=intent", f"data={tmp_path}"), budget("task=asr", f"data={tmp_path}")) == (40000, 128000)


@pytest.mark.parametrize("task", sorted(TASKS))
@pytest.mark.parametrize("method", ["prompt", "finetune"])
def test_a_schedule_that_is_named_outdoes_what_task_corpus_and_method_would_have(tmp_path, task, method):
    path = tmp_path / "mine.yaml"
    path.write_text("trials: 7\nbudget: 3000\nconfirm: {top: 1}\n")
    words = [f"task={task}", f"method={method}"]
    usual, mine = (load_settings([*words, *more], Settings).schedule for more in ([], [f"schedule={path}"]))
    assert mine == replace(usual, trials=7, budget=3000, confirm=replace(usual.confirm, top=1))
    default = load_settings([*words, "schedule=default", "trials=5"], Settings).schedule
    assert (default.trials, default.budget, default.confirm.top) == (5, 40000, 3)


def test_a_schedule_with_an_unknown_setting_is_refused(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("trails: 7\n")
    with pytest.raises(ConfigError, match=r"^schedule\.trails: no such setting; did you mean schedule\.trials\?$"):
        load_settings([f"schedule={path}"], Settings)


@pytest.mark.parametrize("task", sorted(TASKS))
@pytest.mark.parametrize("method", ["finetune", "probe", "ngram", "retrieval"])
def test_a_method_has_a_study_and_a_space_of_its_own_for_every_task(task, method):
    settings = load_settings([f"task={task}", f"method={method}"], Settings)
    assert settings.study == f"{task}-demo-demo-{method}"
    space = read_space(settings.space, parameter_limits(4), layers=4)
    for first in settings.schedule.first_trials:
        params = read_params(first, parameter_limits(4), layers=4)
        assert set(params) <= {r.name for r in space.ranges}
    drawn = draws(space, 1, seed=0)[0]
    (RivalSettings if is_rival(drawn) else TrialHParams).from_params(drawn)
    assert {r.name: r.values for r in space.ranges}["method"] == (method,)


@pytest.mark.parametrize("method", ["ngram", "retrieval"])
def test_a_rival_reports_once_and_is_confirmed_once(method):
    schedule = load_settings([f"method={method}"], Settings).schedule
    assert (schedule.budget, schedule.grace) == (16000, 16000)
    assert load_settings([f"method={method}", "schedule.budget=64"], Settings).schedule.grace == 64
    assert schedule.confirm.seeds == 1


def test_a_method_goes_with_a_space_that_is_named_and_words_come_last(space):
    assert load_settings([space, "method=probe"], Settings).space["method"] == "probe"
    settings = load_settings(["method=finetune", "trials=5", "cluster.slots=3", "study=mine"], Settings)
    assert (settings.schedule.trials, settings.cluster.slots, settings.study) == (5, 3, "mine")
    assert load_settings(["method=finetune"], Settings).cluster.slots == 1
    assert "method" not in load_settings(["method=prompt"], Settings).space


def test_a_bound_below_0_and_a_decoding_that_is_none_are_refused():
    with pytest.raises(ConfigError, match=r"^task.max_answer: expected 0 or more, got -1$"):
        load_settings(["task=asr", "task.max_answer=-1"], Settings)
    with pytest.raises(ConfigError, match=r"^task.decoding: expected best or free or legal, got 'greedy'$"):
        load_settings(["task=asr", "task.decoding=greedy"], Settings)
