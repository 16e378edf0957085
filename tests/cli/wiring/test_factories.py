"""What the settings of a command come to: the recipe of workers, their number, and their share of a machine."""

from dataclasses import replace

import pytest

from sp_search.cli.settings.compose import load_settings
from sp_search.cli.wiring.factories import own_device, recipe_of, recipe_of_study, spending
from sp_search.config import Settings
from sp_search.errors import ConfigError, StudyError
from sp_search.prices import Prices
from sp_search.search.base.spending import Spending

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


@pytest.mark.parametrize(
    ("words", "limits"),
    [
        ([], Spending()),
        (["budget.wall=2h"], Spending(wall_s=7200)),
        (["budget.wall=1h30m"], Spending(wall_s=5400)),
        (["budget.wall=90m"], Spending(wall_s=5400)),
        (["budget.wall=45s"], Spending(wall_s=45)),
        (["budget.wall=1.5h"], Spending(wall_s=5400)),
        (["budget.device_hours=3", "budget.flat=7"], Spending(device_h=3.0, flat=7)),
        (["budget.money=6", "budget.rate=2"], Spending(money=6.0, prices=Prices({"other": 2.0}))),
        (
            ["budget.money=6", "budget.rate={A100: 3, other: 0.5}"],
            Spending(money=6.0, prices=Prices({"A100": 3.0, "other": 0.5})),
        ),
    ],
)
def test_what_a_search_may_spend_is_as_the_settings_say(words, limits):
    assert spending(load_settings(words, Settings)) == limits
