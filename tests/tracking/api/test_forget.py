"""A study is forgotten in a real store, or stays whole."""

import pytest
from mlflow import MlflowClient, MlflowException

from sp_search.errors import StudyError
from sp_search.tracking.api.forget import forget, remains_of
from sp_search.tracking.api.tracker import MlflowTracker
from tests.tracking.fakes import INFO
from tests.tracking.servers import free_port
from tests.tracking.stores import ended_study, runs_of, versions_of

pytestmark = pytest.mark.slow


@pytest.fixture
def two(sqlite, tmp_path):
    """The folder of two studies that are in one store."""
    for name in ("one", "two"):
        ended_study(tmp_path / "runs", sqlite, name)
    return tmp_path / "runs"


BOTH = {("one", ""), ("one", "0"), ("two", ""), ("two", "0")}


def test_a_forgotten_study_leaves_nothing_and_the_others_are_whole(two, sqlite):
    remains = remains_of(two, "one", sqlite)
    assert remains.lines[1] == (
        f"{sqlite}: 2 runs, 1 logged model, 1 registered version; sp-search-intent-tiny version 1 is its champion"
    )
    forget(remains)
    assert [path.name for path in two.iterdir()] == ["two"]
    assert runs_of(sqlite).keys() == {("two", ""), ("two", "0")}
    assert versions_of(sqlite) == {"2": "two"}
    with pytest.raises(StudyError, match="one: expected the folder of a study, found none"):
        remains_of(two, "one", sqlite)


def test_a_store_that_fails_half_way_leaves_the_study_as_it_was(two, sqlite, monkeypatch):
    before = sorted((two / "one").rglob("*"))

    def fail(*_):
        raise MlflowException("the disk is on fire")

    monkeypatch.setattr(MlflowClient, "delete_model_version", fail)
    with pytest.raises(StudyError, match="expected an MLflow store that answers, got: the disk is on fire"):
        forget(remains_of(two, "one", sqlite))
    assert [path for path in sorted((two / "one").rglob("*")) if path.suffix != ".lock"] == [
        path for path in before if path.suffix != ".lock"
    ]
    assert runs_of(sqlite).keys() == BOTH


def test_a_command_that_was_killed_half_way_ends_its_work_when_it_is_typed_again(two, sqlite):
    (two / "one").rename(two / ".forgotten-one")
    MlflowClient(sqlite).delete_run(runs_of(sqlite)["one", ""])
    forget(remains_of(two, "one", sqlite))
    assert [path.name for path in two.iterdir()] == ["two"]
    assert versions_of(sqlite) == {"2": "two"}
    assert runs_of(sqlite).keys() == {("two", ""), ("two", "0")}


def test_a_study_that_is_searched_now_is_refused(two, sqlite):
    tracker = MlflowTracker(two / "one", sqlite, interval_s=0.05)
    tracker.study_opened({**INFO, "study": "one"})
    with pytest.raises(StudyError, match="study one: expected one that no process uses"):
        forget(remains_of(two, "one", sqlite))
    tracker.close(10)
    assert runs_of(sqlite).keys() == BOTH


def test_a_store_that_is_away_keeps_the_study_and_so_does_one_whose_password_is_unknown(two, sqlite):
    with pytest.raises(StudyError, match="expected an MLflow store that answers"):
        remains_of(two, "one", f"http://127.0.0.1:{free_port()}")
    (two / "one" / "spool" / "cursor-x.json").write_text('{"store": "http://***@team", "events": 0, "artifacts": 0}')
    with pytest.raises(StudyError, match=r"whose password is not kept, http://\*\*\*@team; give it with "):
        remains_of(two, "one", sqlite)
    assert remains_of(two, "one", None).stores == ()
    assert (two / "one").exists()
