import json
import re

import pytest

from sp_search.cli.main import main
from sp_search.search.study.study import open_study
from sp_search.search.study.trials import PARAMS
from tests.search.searches import IDENTITY
from tests.tiny import write_tiny_corpus


@pytest.fixture
def words(tmp_path):
    write_tiny_corpus(tmp_path / "data")
    own = ["engine.threads=1", "engine.device=cpu", "cluster.workers=2", "study=mine"]
    return ["lm=random:6x16x2", f"data={tmp_path}/data", f"cache={tmp_path}", f"runs={tmp_path}/runs", *own]


def test_a_plan_for_people_tells_space_rungs_and_training_and_makes_nothing(words, tmp_path, capsys):
    sizes = ["trials=3", "schedule.budget=800", "schedule.grace=200", "schedule.confirm.top=3"]
    sizes += ["schedule.confirm.seeds=3", "schedule.final.seeds=2", "schedule.final.stretch=1.5"]
    assert main(["plan", *words, *sizes, "rate=2"]) == 0
    out, err = capsys.readouterr()
    assert err.splitlines() == [
        f"sp-search: data: {name}.txt: units <s> labels, {count} utterances"
        for name, count in (("train", 40), ("valid", 12), ("test", 12))
    ]
    printed = out.splitlines()
    assert printed[0] == "study mine: 3 trials, 2 workers of 5 slots"
    assert printed[1].startswith("LM random:6x16x2: 6 layers x 16; data data: 40 utterances to train on, 12 to ")
    assert {"  depth               3 to 6", "  prompt_length       5 to 160, log"} <= set(printed)
    assert "        800  about 2, at most 3, the full budget" in printed
    assert printed[-2].endswith(
        "(at most 2,400), about 4,800 for the confirm runs (at most 7,200), 2,400 for the winner's final training"
    )
    hours = r"\d h \d+ min"
    assert re.fullmatch(rf"time: about {hours}, at most {hours} \(at 2 trial-utterances/s, as given\)", printed[-1])
    assert not (tmp_path / "runs").exists()


def test_a_plan_as_json_has_a_measured_rate_and_the_hours_that_follow(words, capsys):
    assert main(["plan", *words, "json=true", "measure=true", "schedule.batch_size=4", "cluster.slots=2"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["rate"] > 0
    assert plan["hours"]["most"] > plan["hours"]["estimated"] > 0
    assert plan["disk_bytes"] > 10**7
    assert plan["cache_bytes"] > 0
    assert plan["money"] is None


@pytest.mark.parametrize(
    ("gib", "said"),
    [
        ("0.5", "memory: a worker keeps at most 536.9 MB of states of the LM that no prompt changes"),
        ("0", "memory: none is kept for states of the LM that no prompt changes"),
    ],
)
def test_a_timed_plan_says_what_a_worker_keeps_in_memory(words, capsys, gib, said):
    small = ["measure=true", "schedule.batch_size=4", "cluster.slots=2", f"engine.trunk_cache_gib={gib}"]
    assert main(["plan", *words, *small]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"{said} (engine.trunk_cache_gib)"


def test_a_rate_and_a_price_give_time_and_money(words, capsys):
    assert main(["plan", *words, "json=true", "rate=100", "budget.rate=2.5"]) == 0
    plan = json.loads(capsys.readouterr().out)
    counts = ("search_utterances", "confirm_utterances", "final_utterances")
    training = sum(plan["plan"][name] for name in counts) / 100 / 3600
    assert training < plan["hours"]["estimated"] < 2 * training, "measuring and slots that wait come on top"
    assert plan["money"] == {name: pytest.approx(2 * 2.5 * hours) for name, hours in plan["hours"].items()}


@pytest.mark.parametrize(("pruner", "said"), [("asha", ""), ("median", " (estimated for asha, not for median)")])
def test_a_plan_says_what_its_estimate_assumes(words, capsys, pruner, said):
    assert main(["plan", *words, f"schedule.pruner={pruner}"]) == 0
    assert f"rungs: utterances seen, trials that get there{said}" in capsys.readouterr().out.splitlines()


def test_without_a_rate_no_time_is_told(words, capsys):
    assert main(["plan", *words]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("time: not known without a rate; say rate=")


def test_a_study_that_is_there_is_told(words, tmp_path, capsys):
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    assert main(["plan", *words]) == 0
    assert "its folder is there: trials it already has are not trained again" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        (["rate=0"], "rate: expected above 0, got 0.0"),
        (["rate=9", "measure=true"], "rate: expected a rate or measure=true, got both"),
        (["space.depth={int: [2, 1]}"], "space: 1 bad key: depth: expected low at most high, got low 2 and high 1"),
    ],
)
def test_what_a_search_would_refuse_a_plan_refuses(words, capsys, more, fault):
    assert main(["plan", *words, *more]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == f"sp-search: {fault}"


def test_the_rate_of_rivals_is_not_measured(words, capsys):
    own = [word for word in words if not word.startswith("space")]
    assert main(["plan", *own, "method=ngram", "measure=true"]) == 2
    fault = "measure: expected a method that trains on the LM, got rivals, which are fitted in seconds"
    assert capsys.readouterr().err.splitlines()[-1] == f"sp-search: {fault}"


def test_a_plan_begins_with_the_best_of_the_study_that_it_is_to_start_from(words, tmp_path, capsys):
    opened = open_study("old", None, tmp_path / "runs" / "old", IDENTITY, {"seed": 0})
    opened.close()
    study = opened.study
    for value, params in {
        0.5: {"prompt_length": 33},
        0.9: {"prompt_length": 44, "lr": 0.01},
        0.7: {"depth": 9},
    }.items():
        trial = study.ask()
        trial.set_user_attr(PARAMS, params)
        study.tell(trial, value)
    assert main(["plan", *words, "warm_start=old", "json=true"]) == 0
    out, err = capsys.readouterr()
    first = json.loads(out)["plan"]["first_trials"]
    assert [(trial["prompt_length"], trial["lr"]) for trial in first[:2]] == [(44, 0.01), (33, "drawn")]
    assert [trial["prompt_length"] for trial in first[2:]] == [100, 20, 20]
    assert err.splitlines()[0] == "sp-search: warm start: trial 2 of old is left out: depth 9 is not 3 to 6"
    assert [line[:16] for line in err.splitlines()[1:]] == ["sp-search: data:"] * 3


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("gone", "study gone: expected a study in {runs}/gone, found none"),
        ("mine", "schedule.warm_start: expected another study than mine itself, which goes on anyway"),
    ],
)
def test_a_study_to_start_from_must_be_another_one_that_is_there(words, tmp_path, capsys, name, fault):
    assert main(["plan", *words, f"warm_start={name}"]) == 2
    assert capsys.readouterr().err == f"sp-search: {fault.format(runs=tmp_path / 'runs')}\n"
