import pytest

from sp_search.tracking.store.mlflow_store import connect
from tests.faults.harness import Search


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory):
    """An MLflow database without runs; making one takes 4 s, copying it nothing."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    connect(f"sqlite:///{path}").find_runs("Default", {"sp_search.study_id": "none"})
    return path


@pytest.fixture(scope="session")
def undisturbed_search(empty_database, tmp_path_factory):
    """A search to which nothing happens."""
    search = Search(tmp_path_factory.mktemp("undisturbed"), empty_database)
    assert search.end() == ""
    return search


@pytest.fixture(scope="session")
def undisturbed(undisturbed_search):
    """What it comes to."""
    return undisturbed_search.outcome()


@pytest.fixture
def search(empty_database, tmp_path):
    return Search(tmp_path / "runs", empty_database)
