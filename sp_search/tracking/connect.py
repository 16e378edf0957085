"""From a tracking URI to a store: makes mlflow import itself, which takes 2 s, so only what sends calls it."""

from __future__ import annotations

import logging
import os

from sp_search.tracking.mlflow_store import MlflowStore
from sp_search.tracking.store import RunStore
from sp_search.tracking.uri import artifact_location, sqlite_path

_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",  # the uploader retries, without blocking anyone
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",  # seconds
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # stdout is the command's own
    "MLFLOW_LOGGING_LEVEL": "WARNING",
}


def connect(uri: str) -> RunStore:
    """The store behind a checked URI; what the user's environment says of MLflow's own settings stays.

    Raises:
        Exception: the store can't be reached now, or a package it needs is missing.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    if (path := sqlite_path(uri)) is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
    return MlflowStore(uri, artifact_location(uri))
