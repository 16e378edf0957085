"""A study stays whole in MLflow where it is renamed, or moved with its `runs`."""

import shutil

import pytest
from mlflow import MlflowClient

from sp_search.tracking.store.mlflow_client import quiet_client
from sp_search.tracking.store.moved import follow_move
from sp_search.tracking.upload.sync import sync
from tests.tracking.stores import FILES, MODEL, ended_study, files_of, runs_of, versions_of

pytestmark = pytest.mark.slow


def test_a_store_that_was_moved_with_its_folder_has_its_files_and_gets_nothing_twice(empty_database, tmp_path):
    here, there = tmp_path / "here" / "runs", tmp_path / "on another machine" / "100% runs"
    here.mkdir(parents=True)
    shutil.copyfile(empty_database, here / "mlflow.db")
    run_id = ended_study(here, f"sqlite:///{here}/mlflow.db", "one")
    there.parent.mkdir()
    shutil.move(here, there)
    uri = f"sqlite:///{there}/mlflow.db"
    client = quiet_client(uri)
    assert files_of(client, run_id) == FILES
    assert str(here) not in client.get_model_version(MODEL, "1").source
    assert not follow_move(there / "mlflow.db"), "a second time there is nothing to do"
    assert sync(there, uri).left == 0
    assert runs_of(uri).keys() == {("one", ""), ("one", "0")}
    assert versions_of(uri) == {"1": "one"}


def test_a_folder_that_was_renamed_keeps_its_runs_under_its_new_name(sqlite, tmp_path):
    runs = tmp_path / "runs"
    run_id = ended_study(runs, sqlite, "one")
    (runs / "one").rename(runs / "two")
    assert sync(runs, sqlite).left == 0
    assert runs_of(sqlite)["two", ""] == run_id
    assert runs_of(sqlite).keys() == {("two", ""), ("two", "0")}
    assert MlflowClient(sqlite).get_run(run_id).info.run_name == "two"
    assert MlflowClient(sqlite).get_run(run_id).info.status == "FINISHED"
