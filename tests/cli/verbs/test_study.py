import json
import math

import pytest
from optuna.trial import TrialState

import sp_search
from sp_search.errors import StudyError
from sp_search.search.study.trials import PARAMS, REASON
from tests.report.test_comparison import summary as summary_of
from tests.search.searches import new_study, study_of_three


@pytest.fixture
def runs(tmp_path):
    """Three complete trials, and one that was stopped."""
    study = study_of_three(tmp_path)
    stopped = study.ask()
    stopped.set_user_attr(PARAMS, {"lr": 0.2, "depth": 3})
    stopped.set_user_attr(REASON, "stopped at a rung by ASHA")
    for seen, value in ((100, 0.3), (400, 0.2)):
        stopped.report(value, seen)
    study.tell(stopped, state=TrialState.PRUNED)
    return tmp_path


def test_a_study_that_is_being_searched_is_a_table_of_its_trials(runs):
    study = sp_search.load_study("s", runs=runs)
    assert (study.name, study.task, study.metric, study.summary) == ("s", "intent", "accuracy", None)
    table = study.trials.set_index("number")
    assert [*study.trials.columns] == [
        "number", "state", "accuracy", "utterances", "reason", "params_lr", "params_depth",
    ]  # fmt: skip
    assert list(table["state"]) == ["complete"] * 3 + ["pruned"]
    assert list(table["params_lr"]) == [0.9, 0.8, 0.7, 0.2]
    stopped = table.loc[3]
    assert (stopped["accuracy"], stopped["utterances"], stopped["params_depth"]) == (0.3, 400, 3)
    assert stopped["reason"] == "stopped at a rung by ASHA"
    assert math.isnan(table.loc[0]["params_depth"])
    with pytest.raises(StudyError, match=r"^study s: expected one whose search has ended, got one that has not; run"):
        study.best  # noqa: B018


def test_a_study_whose_search_has_ended_has_its_result_and_draws_itself(runs):
    summary = summary_of("s", "prompt", 0.75)
    best = summary["best"] | {"valid": {"accuracy": 0.8}}
    (runs / "s" / "summary.json").write_text(json.dumps({**summary, "best": best}))
    study = sp_search.load_study(runs / "s")
    assert (study.test, study.valid) == (best["test"], best["valid"])
    assert (study.best, study.single) == (runs / "s" / "best", runs / "s" / "single")
    assert repr(study) == f"<Study s: 4 trials, test accuracy 0.7500 (0.5000 to 0.9000); {runs / 's'}>"
    page = study._repr_html_()
    assert "<b>s</b>: test accuracy 0.7500 (0.5000 to 0.9000)" in page
    assert page.count("<tr") == 1 + 4


def test_a_study_without_trials_is_an_empty_table(tmp_path):
    new_study(tmp_path)
    study = sp_search.load_study("s", runs=tmp_path)
    assert len(study.trials) == 0
    assert "not ended" in study._repr_html_()


def test_a_study_that_is_not_there_is_named(tmp_path):
    with pytest.raises(StudyError, match=r"^study no: expected a study in .*/no, found none$"):
        sp_search.load_study("no", runs=tmp_path)


@pytest.mark.parametrize("folder", ["", "s"])
def test_a_folder_that_may_not_be_looked_into_is_refused_in_one_line(runs, locked, folder):
    locked(runs / folder)
    with pytest.raises(StudyError, match=r"expected a path that can be looked at, got Permission denied$"):
        sp_search.load_study(runs / "s")
