"""MLflow's settings for this package, as environment variables. Values that the user has set are kept."""

from __future__ import annotations

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
