"""MLflow's settings for this package, as environment variables. Values that the user has set are kept."""

from __future__ import annotations

import threading

IMPORTING = threading.Lock()
"""Held by a thread that may be the first to import mlflow. Its modules import each other in circles: of two threads
that import it at the same time, one may get a module that is not whole, and fail."""

_EVERYWHERE = {"MLFLOW_DISABLE_TELEMETRY": "true"}

CLIENT = {
    **_EVERYWHERE,
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",  # the uploader retries, without blocking anyone
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",  # seconds
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # stdout is the command's own
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",  # MLflow also raises what it would log, and we print that in one line
}

SERVER = {**_EVERYWHERE, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
