"""Studies of one task on several LMs, side by side."""

import json

import pytest

from sp_search.errors import StudyError
from sp_search.report.lm_comparison import lm_tables
from tests.report.test_comparison import summary


def write(runs, name, value, lm, *, parameters=None, rate=None, **changes):
    found = summary(name, "prompt", value, **changes)
    found["lm"] = {"name": lm, "fingerprint": lm} | ({} if parameters is None else {"parameters": parameters})
    if rate is not None:
        found["answers"]["single"]["utterances_per_s"] = rate
        found["best"]["utterances_per_s"] = rate / 2
    (runs / name).mkdir(parents=True)
    (runs / name / "summary.json").write_text(json.dumps(found))


def test_studies_of_a_task_are_side_by_side_the_best_first(tmp_path):
    write(tmp_path, "a", 0.5, "gslm_hubert100", data="hubert", parameters=151_000_000, rate=80.4)
    write(tmp_path, "b", 0.75, "slam", data="mhubert", parameters=358_000_000, rate=40.0, members=2)
    write(tmp_path, "c", 0.625, "old", data="hubert")
    write(tmp_path, "d", 0.9, "slam", task="keyword")
    assert lm_tables(tmp_path, "intent").splitlines() == [
        "| LM | its weights | data | study | method | test accuracy (95 % interval) | stored bytes | utterances/s |",
        "| --- | ---: | --- | --- | --- | --- | ---: | ---: |",
        "| slam | 358,000,000 | mhubert | b | 2 prompts | 0.850 (0.500 to 0.900) | 9,872 | 20 |",
        "| slam | 358,000,000 | mhubert | b | prompt | 0.750 (0.500 to 0.875) | 4,936 | 40 |",
        "| old | – | hubert | c | prompt | 0.625 (0.500 to 0.875) | 4,936 | – |",
        "| gslm_hubert100 | 151,000,000 | hubert | a | prompt | 0.500 (0.500 to 0.875) | 4,936 | 80 |",
    ]


def test_a_damaged_study_is_named_and_left_out(tmp_path, capsys):
    write(tmp_path, "a", 0.5, "slam")
    (tmp_path / "b").mkdir()
    (tmp_path / "b/summary.json").write_text("{")
    assert len(lm_tables(tmp_path, "intent").splitlines()) == 3
    assert capsys.readouterr().err == (
        f"sp-search: {tmp_path}/b/summary.json: expected the summary of a finished study, got a damaged file; "
        f"it is left out of the comparison\n"
    )


def test_without_a_finished_study_of_the_task_there_is_no_table(tmp_path):
    write(tmp_path, "a", 0.5, "slam", task="keyword")
    with pytest.raises(
        StudyError, match=r"expected finished studies of task=intent, found none; run sp-search search"
    ):
        lm_tables(tmp_path, "intent")
