"""`sp_search.search` from a thread, on a made-up corpus and a random LM."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

import sp_search
from sp_search.cli.settings.compose import load_settings
from sp_search.cli.verbs import search as verb
from sp_search.cli.verbs.search import _told, as_words
from sp_search.config import Settings
from sp_search.errors import ConfigError
from sp_search.search.study.records import study_record
from tests.search.searches import settings, study_of_three
from tests.tiny import write_tiny_corpus

LM = "random:2x32x2"
SETTINGS = {
    "schedule.budget": 128, "schedule.grace": 64, "schedule.batch_size": 8, "schedule.chunk_updates": 4,
    "schedule.confirm.top": 1, "schedule.confirm.seeds": 1, "schedule.final.seeds": 0, "cluster.slots": 2,
    "cluster.workers": 1, "tracking.enabled": False,
}  # fmt: skip
SPACE = {
    "prompt_length": {"int": [2, 4]}, "depth": "layers", "lr": {"float": [0.01, 0.03], "log": True},
    "verbalizer": "linear", "max_source_units": 0,
}  # fmt: skip


@pytest.mark.slow
def test_a_search_in_a_thread_tells_how_far_it_is_and_leaves_a_prompt_that_answers(tmp_path, in_ray, capsys):
    data, told = write_tiny_corpus(tmp_path / "data"), []
    search = partial(
        sp_search.search, lm=LM, data=data, space=SPACE, trials=2, study="tiny", runs=tmp_path / "runs",
        settings={**SETTINGS, "cache": str(tmp_path / "cache"), "schedule.first_trials": []}, progress=told.append,
    )  # fmt: skip
    with ThreadPoolExecutor(1) as pool:
        study = pool.submit(search).result(120)
    assert (told[0].phase, told[-1].phase, told[-1].ended) == ("starting", "ended", 2)
    assert study.folder == tmp_path / "runs" / "tiny"
    assert {"params_prompt_length", "params_lr"} <= set(study.trials.columns)
    assert set(study.trials["params_prompt_length"]) <= {2, 3, 4}
    assert capsys.readouterr().err == ""
    prompt = sp_search.load(study.single, lm=LM, cache=tmp_path / "cache")
    assert prompt.evaluate(data)["metrics"]["accuracy"] == pytest.approx(
        study.summary["answers"]["single"]["test"]["accuracy"], abs=1e-6
    )
    told.clear()
    again = search()
    assert (told, again.test) == ([], study.test)


def test_a_search_that_goes_on_counts_what_ended_before_and_knows_its_best_value(tmp_path):
    study = study_of_three(tmp_path)
    study.ask().report(0.95, 100)  # is running
    study.enqueue_trial({})  # waits
    told = []
    _told(told.append, settings(tmp_path), study_record(study, "accuracy"), None).study_opened({})
    assert [(one.ended, one.best) for one in told] == [(3, 0.95)]


def test_a_terminal_shows_the_interval_of_the_sample_that_trials_are_measured_on(monkeypatch):
    asked = {}
    monkeypatch.setattr(verb, "notebook_display", lambda: None)
    monkeypatch.setattr(verb, "progress_of", lambda *given, **_: asked.update(sample=given[3]))
    watch, _ = verb._watch(True, 512)
    watch(None, None, None)
    assert asked == {"sample": 512}


def test_values_of_python_are_the_settings_that_words_would_be(tmp_path):
    words = as_words({
        "runs": tmp_path / "a b", "schedule.trials": 3, "space.side": ["top", "bottom"], "engine.threads": None,
        "tracking.enabled": False, "schedule.first_trials": [{"lr": 0.01, "init": "normal"}], "study": "it's, mine",
        "space.lr": {"float": [1e-3, 0.1], "log": True},
    })  # fmt: skip
    found = load_settings(words, Settings, {"space": {"depth": 2}})
    assert (found.runs, found.study) == (tmp_path / "a b", "it's, mine")
    assert found.schedule.first_trials == [{"lr": 0.01, "init": "normal"}]
    assert (found.engine.threads, found.tracking.enabled) == (None, False)
    assert (found.space["side"], found.space["lr"]["float"]) == (["top", "bottom"], [0.001, 0.1])


def test_a_space_at_hand_takes_the_place_of_the_tasks_and_words_change_it():
    found = load_settings(["space.depth=2"], Settings, {"space": SPACE})
    assert found.space == {**SPACE, "depth": 2}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"task": "intents"}, r"task: expected .* got 'intents'; did you mean intent\?"),
        ({"settings": {"schedule.trails": 3}}, r"schedule\.trails: no such setting; did you mean schedule\.trials\?"),
        ({"trials": 0}, r"schedule\.trials: expected 1 or more, got 0"),
    ],
)
def test_a_wrong_setting_is_told_as_on_the_command_line(given, message):
    with pytest.raises(ConfigError, match=f"^{message}"):
        sp_search.search(**given)
