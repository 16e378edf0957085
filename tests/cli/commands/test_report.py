"""The report of a study that still runs, from the command line."""

import json
import time

import pytest

from sp_search.search.study.study import StudyIdentity, load_study, open_study
from tests.cli.shell import sp_search
from tests.report.studies import identity, made_study, summary_of

NAME = "intent-made"


@pytest.fixture
def running(tmp_path):
    """A folder whose study another process searches: eight of its nine trials have ended."""
    made = made_study(9, running=1)
    opened = open_study(NAME, None, tmp_path / "runs" / NAME, StudyIdentity(**identity()), {"seed": 0})
    opened.study.add_trials(made.trials)
    yield tmp_path, made_study(9)
    opened.close()


def test_a_study_that_still_runs_has_a_page(running):
    folder, _ = running
    done = sp_search(folder, "report", f"study={NAME}")
    page = folder / "runs" / NAME / "report" / "index.html"
    assert done.stdout == f"{page}\n"
    assert done.stderr == ""
    text = page.read_text()
    assert "Not finished: 9 trials so far" in text
    assert "refresh" not in text[: text.index("<title>")]


def test_a_study_that_still_runs_has_no_comparison(running):
    folder, _ = running
    done = sp_search(folder, "report", f"study={NAME}", "markdown=true", expect=2)
    assert done.stderr == (
        f"sp-search: study {NAME}: expected a finished study to compare, got one that runs; wait for its end\n"
    )


def test_a_page_that_is_watched_is_drawn_until_the_search_has_ended(running, monkeypatch):
    folder, ended = running
    pages, waited = [], []
    page = folder / "runs" / NAME / "report" / "index.html"

    def wait(seconds):
        pages.append(page.read_text())
        waited.append(seconds)
        if len(waited) == 2:
            (folder / "runs" / NAME / "summary.json").write_text(json.dumps(summary_of(ended)))

    monkeypatch.setattr(time, "sleep", wait)
    sp_search(folder, "report", f"study={NAME}", "watch=true", "tracking.enabled=false")
    assert waited == [60.0, 60.0]
    assert all('<meta http-equiv="refresh" content="60">' in text for text in pages)
    last = page.read_text()
    assert "refresh" not in last[: last.index("<title>")]
    assert "test accuracy, 95 % interval" in last


def test_studies_on_several_lms_are_printed_side_by_side(tmp_path):
    made = made_study(9)
    for name, lm in (("one", "slam"), ("two", "gslm_hubert100")):
        (tmp_path / "runs" / name).mkdir(parents=True)
        told = {**summary_of(made), "study": name, "lm": {"name": lm, "fingerprint": lm, "parameters": 1234}}
        (tmp_path / "runs" / name / "summary.json").write_text(json.dumps(told))
    lines = sp_search(tmp_path, "report", "task=intent", "lms=true").stdout.splitlines()
    assert lines[0].startswith("| LM | its weights |")
    assert {line.split(" | ")[0] for line in lines[2:]} == {"| slam", "| gslm_hubert100"}


def test_a_finished_study_that_goes_on_to_more_trials_is_no_longer_shown_as_finished(running):
    folder, ended = running
    study = load_study(NAME, None, folder / "runs" / NAME)
    (folder / "runs" / NAME / "summary.json").write_text(json.dumps(summary_of(ended)))
    page = folder / "runs" / NAME / "report" / "index.html"
    for finished, is_ended in (({"trials": 8}, True), (None, False), ({"trials": 9}, True)):
        study.set_user_attr("finished", finished)
        sp_search(folder, "report", f"study={NAME}", "tracking.enabled=false")
        assert ("Not finished: 9 trials so far" in page.read_text()) != is_ended


def test_a_report_of_a_study_that_is_not_there_ends_with_2(tmp_path):
    done = sp_search(tmp_path, "report", "study=no", expect=2)
    assert done.stderr.startswith("sp-search: study no: expected a study in ")
    assert len(done.stderr.splitlines()) == 1
