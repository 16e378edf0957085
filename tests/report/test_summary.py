"""A study's own summary, which must have all that its page and the last lines of its search say."""

import json

import pytest
from hypothesis import HealthCheck, given, settings

from sp_search.prices import OTHER, Prices
from sp_search.report.answer import Made, finished_answer, study_facts
from sp_search.report.comparison import comparison, read_summary
from sp_search.search.study.records import study_record
from sp_search.search.ui.words import ending
from tests.any_json import changed
from tests.report.studies import made_study, summary_of

STUDY = made_study(20)
SUMMARY = json.loads(json.dumps(summary_of(STUDY)))
RECORD = study_record(STUDY, "accuracy")


def read(folder, summary):
    path = folder / "summary.json"
    path.write_text(json.dumps(summary))
    return read_summary(path, is_whole=True)


def test_a_summary_as_a_search_writes_it_is_whole(tmp_path):
    summary, fault = read(tmp_path, SUMMARY)
    assert not fault
    assert summary == SUMMARY | {"study": tmp_path.name}


@pytest.mark.parametrize("name", ["trials", "answers", "setting", "baseline", "wall_s", "trial_s", "other_rivals"])
def test_a_summary_that_lacks_a_part_is_named(tmp_path, name):
    _, fault = read(tmp_path, {key: value for key, value in SUMMARY.items() if key != name})
    assert fault == f"{tmp_path}/summary.json: expected the summary of a finished study, got one that lacks '{name}'"


def test_a_summary_nested_too_deeply_is_a_damaged_file(tmp_path):
    (tmp_path / "summary.json").write_text("[" * 100_000)
    assert read_summary(tmp_path / "summary.json")[1].endswith("got a damaged file")


@given(summary=changed(SUMMARY))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_in_the_file_can_be_said_or_is_named(tmp_path, summary):
    found, fault = read(tmp_path, summary)
    if fault:
        assert "\n" not in fault
        return
    compared = comparison(found, [])
    assert compared.markdown()
    assert compared.table()
    assert ending(found)
    assert finished_answer(found)
    assert study_facts(RECORD, found, [], Made(), Prices({OTHER: 2.5, "A100": 4.0}))
