"""What the settings of a command come to: the recipe of workers, their number, and their share of a machine."""

from dataclasses import replace

import pytest

from sp_search.cli.commands.search import following
from sp_search.cli.settings.compose import load_settings
from sp_search.cli.wiring.factories import own_device, recipe_of, recipe_of_study, wall_limit
from sp_search.config import Settings
from sp_search.errors import ConfigError, StudyError
from sp_search.search.run.limits import SearchLimits
from tests.search.searches import settings

IDENTITY = {"task": "keyword", "lm": "demo", "data": "demo"}
BEGUN = {
    "answer_format": "characters", "decoding": "legal", "max_answer": 7, "batch_size": 4, "chunk_updates": 5,
    "valid_sample": 6, "train_utterances": 9, "compile": True, "dtype": "float32", "seed": 11, "budget": 1000,
}  # fmt: skip


def recipe(*words: str, **identity: str):
    known = {"identity": IDENTITY | identity, "begun_as": BEGUN}
    return recipe_of_study(load_settings(words, Settings), known, {word.partition("=")[0] for word in words})


def test_a_study_is_trained_again_with_the_task_and_the_settings_that_it_records():
    found = recipe("study=s", "engine.threads=3")
    task = found.task
    assert (task.name, task.field, task.slots) == ("keyword", "keyword", ("keyword",))
    assert (task.answer_format, task.decoding, task.max_answer) == ("characters", "legal", 7)
    taken = {name: value for name, value in BEGUN.items() if name in vars(found) and name not in vars(task)}
    plain = recipe_of(load_settings(["engine.threads=3"], Settings))
    assert found == replace(plain, task=task, stream_seed=11, **taken)
    assert len(taken) == 6


def test_the_field_of_a_label_is_that_which_is_typed():
    assert recipe("task=label", "task.field=mood", task="label").task.slots == ("mood",)
    assert recipe("task.field=mood", task="label").task.slots == ("mood",)


def test_another_task_lm_or_corpus_is_refused_with_what_to_type(tmp_path):
    of_others = {"lm": "gslm_hubert50", "data": "mine"}
    with pytest.raises(StudyError) as raised:
        recipe("study=s", "task=intent", **of_others)
    assert str(raised.value) == (
        "study s: expected what it was searched with: lm=gslm_hubert50, got lm=demo; say lm=gslm_hubert50; data="
        "mine, got data=demo; say data=PATH, the folder of mine; task=keyword, got task=intent; say task=keyword"
    )
    assert recipe("task=keyword", f"lm={tmp_path}", f"data={tmp_path}", **of_others).data_path == tmp_path


def test_a_gpu_that_is_missing_is_refused_where_this_machine_makes_the_units(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"^engine\.device: expected auto or cpu where torch finds no GPU, got"):
        own_device(load_settings(["engine.device=cuda"], Settings))
    assert own_device(load_settings(["engine.device=cuda", "cluster=ray"], Settings)) == "cpu"
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert own_device(load_settings([], Settings)) == "cuda"
    assert own_device(load_settings(["engine.device=cpu"], Settings)) == "cpu"


def test_the_setting_that_a_limit_of_time_comes_from_is_named(tmp_path):
    seconds, limit = wall_limit(load_settings(["budget.device_hours=8", "cluster.workers=2"], Settings))
    limits = SearchLimits(settings(tmp_path, wall_s=seconds, limit=limit), lambda: seconds)
    assert limits.why_over().endswith("(budget of 14,400 s, by budget.device_hours=8 for 2 workers)")


@pytest.mark.parametrize(
    ("words", "most"),
    [(["budget.wall=1h"], None), (["budget.device_hours=8"], 3), (["budget.money=8", "budget.rate=1"], 3)],
)
def test_nodes_that_join_bring_no_workers_where_these_would_spend_more_than_the_budget(tmp_path, words, most):
    sized, told = settings(tmp_path, workers=3, most_workers=3, ray_address="auto"), []
    assert following(load_settings(words, Settings), sized, told.append).most_workers == most
    assert [line.partition(":")[0] for line in told] == ["at most 3 workers"] * (most is not None)
