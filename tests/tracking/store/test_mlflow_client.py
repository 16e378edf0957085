"""A client for a command that can't go on without its store."""

import pytest
from sqlalchemy.exc import OperationalError

from sp_search.errors import StudyError
from sp_search.tracking.store.mlflow_client import answering


def test_a_database_that_is_down_is_told_in_one_line_without_its_password(tmp_path):
    refused = OperationalError("SELECT 1", {}, Exception("connection to postgresql://me:secret@db/x refused"))
    wanted = r"^sqlite:.*: expected an MLflow store that answers, got: [^\n]*connection to [^\n]*refused"
    with pytest.raises(StudyError, match=wanted) as raised, answering(f"sqlite:///{tmp_path}/mlflow.db"):
        raise refused
    assert "secret" not in str(raised.value)
