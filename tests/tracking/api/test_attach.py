import json

import pytest

from sp_search.tracking.api.attach import attach
from sp_search.tracking.api.tracker import MlflowTracker
from sp_search.tracking.upload.sync import sync
from tests.tracking.fakes import INFO, FakeStore, tell_a_study

URI = "http://127.0.0.1:5000"
TAG = "mlflow.loggedArtifacts"


@pytest.fixture
def report_folder(tmp_path):
    folder = tmp_path / "report"
    folder.mkdir()
    (folder / "index.html").write_text("page")
    (folder / "comparison.json").write_text('{"columns": ["a"], "data": [[1]]}')
    return folder


def tracked(tmp_path, store):
    tracker = MlflowTracker(tmp_path / "runs" / "demo", URI, connect=lambda uri: store, interval_s=0.01)
    tell_a_study(tracker, tmp_path)
    return tracker


def test_files_and_the_table_reach_the_run_of_an_ended_study(tmp_path, report_folder):
    store = FakeStore()
    tracked(tmp_path, store).close(10)
    assert attach(tmp_path / "runs" / "demo", report_folder, "report", "comparison.json")
    sync(tmp_path / "runs", URI, connect=lambda uri: store)
    run = store.by_trial()[None]
    assert run.files["report/index.html"] == b"page"
    assert run.files["report/comparison.json"] == b'{"columns": ["a"], "data": [[1]]}'
    assert json.loads(run.tags[TAG]) == [{"path": "report/comparison.json", "type": "table"}]
    assert run.status == "FINISHED"
    assert "sp_search.reason" not in run.tags


def test_attached_again_the_newer_files_stand_in_place_of_the_older(tmp_path, report_folder):
    store = FakeStore()
    tracked(tmp_path, store).close(10)
    for text in ("one", "two"):
        (report_folder / "index.html").write_text(text)
        attach(tmp_path / "runs" / "demo", report_folder, "report", "comparison.json")
        sync(tmp_path / "runs", URI, connect=lambda uri: store)
        assert store.by_trial()[None].files["report/index.html"] == text.encode()


def test_a_search_tells_of_its_table_itself(tmp_path):
    store = FakeStore()
    tracker = tracked(tmp_path, store)
    tracker.table("report/comparison.json")
    tracker.close(10)
    assert json.loads(store.by_trial()[None].tags[TAG]) == [{"path": "report/comparison.json", "type": "table"}]


def test_nothing_is_kept_of_a_study_that_was_never_tracked(tmp_path, report_folder):
    assert not attach(tmp_path / "runs" / "demo", report_folder, "report", "comparison.json")
    assert not (tmp_path / "runs").exists()


def test_a_search_that_runs_is_left_to_send_its_own(tmp_path, report_folder):
    tracker = MlflowTracker(tmp_path / "runs" / "demo", URI, connect=lambda uri: FakeStore())
    tracker.study_opened(INFO)
    assert not attach(tmp_path / "runs" / "demo", report_folder, "report", "comparison.json")
    tracker.close(0)


def test_one_study_may_be_sent_alone(tmp_path):
    def away(uri):
        raise ConnectionError(uri)

    for name in ("demo", "demo2", "de[m]o"):
        (tmp_path / name).mkdir()
        tracker = MlflowTracker(tmp_path / "runs" / name, URI, connect=away)
        tracker.study_opened({**INFO, "study": name})
        tracker.close(0)
    store = FakeStore()
    assert sync(tmp_path / "runs", URI, study="de[m]o", connect=lambda uri: store).studies == 1
    assert [run.tags["sp_search.study"] for run in store.runs.values()] == ["de[m]o"]
