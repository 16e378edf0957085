import shutil

import pytest

from sp_search.tracking.store.mlflow_store import connect
from tests.tracking.servers import Server


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory):
    """An MLflow database without runs; making one takes 4 s, copying it nothing."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    connect(f"sqlite:///{path}").find_runs("Default", {"sp_search.study_id": "none"})
    return path


@pytest.fixture
def sqlite(empty_database, tmp_path):
    """A store of a test's own, as a URI."""
    shutil.copyfile(empty_database, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path}/mlflow.db"


@pytest.fixture(scope="module")
def server(empty_database, tmp_path_factory):
    """One server for a whole file, running; each test has its own experiment in it."""
    server = Server(empty_database, tmp_path_factory.mktemp("server"))
    server.start()
    yield server
    server.kill()
