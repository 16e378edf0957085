"""A client of an MLflow store, made quiet. mlflow is imported only when one is made: the import takes 2 s."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sp_search.errors import StudyError
from sp_search.tracking.base.mlflow_env import CLIENT, IMPORTING
from sp_search.tracking.base.uri import redact, sqlite_path
from sp_search.tracking.store.moved import follow_move

if TYPE_CHECKING:
    from mlflow import MlflowClient


def quiet_client(uri: str) -> MlflowClient:
    """The client of a checked URI. MLflow settings in the user's environment are kept.

    Raises:
        Exception: the store can't be reached now, or a package it needs is missing.
    """
    for name, value in CLIENT.items():
        os.environ.setdefault(name, value)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    if (path := sqlite_path(uri)) is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        follow_move(path)
    with IMPORTING:
        from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=uri)


@contextmanager
def answering(uri: str) -> Iterator[MlflowClient]:
    """A client for a command that can't go on without the store.

    Raises:
        StudyError: the store does not answer, or refuses.
    """
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError  # of a database that is down

    try:
        yield quiet_client(uri)
    except (MlflowException, sqlite3.Error, SQLAlchemyError) as error:
        why = redact(" ".join(str(error).split()))
        raise StudyError(f"{redact(uri)}: expected an MLflow store that answers, got: {why:.200}") from error
