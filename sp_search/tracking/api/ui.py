"""The command that shows runs in the browser."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from sp_search.errors import StudyError
from sp_search.tracking.base.mlflow_env import SERVER
from sp_search.tracking.base.uri import artifact_location, checked_uri, redact, sqlite_path

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class UiCommand:
    """The command for a store, its environment, and a line to print."""

    argv: tuple[str, ...]  # empty if a server shows it already
    env: Mapping[str, str]  # added to the environment; the URI is here because everybody can list argv
    url: str
    message: str  # one line to print


def ui_command(
    tracking_uri: str, host: str = "127.0.0.1", port: int = 5000, *, experiment: str = "", metric: str = ""
) -> UiCommand:
    """The MLflow UI of a store; by default only this machine can reach it.

    Args:
        tracking_uri: of the store.
        host: where it listens.
        port: where it listens.
        experiment: whose runs the address shows, as training runs; empty for MLflow's first page.
        metric: by which they are sorted, the best first; empty for the order of MLflow.

    Raises:
        ConfigError: MLflow has no such kind of store.
        StudyError: the store is a file that is not there yet.
    """
    uri = checked_uri(tracking_uri)
    if uri.startswith(("http://", "https://")):
        parts = urlsplit(uri)
        url = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        return UiCommand((), {}, url, f"MLflow UI: {url} (a server runs there already)")
    path = sqlite_path(uri)
    if path is not None and not path.exists():
        raise StudyError(f"{path}: expected runs of a search, got no such file; run `make search TASK=intent` first")
    argv = (sys.executable, "-m", "mlflow", "server", "--host", host, "--port", str(port), "--workers", "1")
    env = {**SERVER, "MLFLOW_BACKEND_STORE_URI": uri}
    if (location := artifact_location(uri)) is not None:
        env["MLFLOW_DEFAULT_ARTIFACT_ROOT"] = location
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}{_runs_of(uri, experiment, metric)}"
    warning = "" if host in _LOOPBACK else "; anyone who reaches this machine can read and change it"
    return UiCommand(argv, env, url, f"MLflow UI: {url}, showing {redact(uri)} (Ctrl-C ends it{warning})")


def _runs_of(uri: str, experiment: str, metric: str) -> str:
    """The path of an experiment's runs; MLflow's first page shows traces of language models, of which there are none.

    Empty where there is no such experiment.
    """
    from mlflow import MlflowClient

    found = MlflowClient(uri).get_experiment_by_name(experiment) if experiment else None
    if found is None:
        return ""
    order = {"orderByKey": f"metrics.`{metric}`", "orderByAsc": "false"} if metric else {}
    asked = urlencode({"workflowType": "machine_learning", **order})
    return f"/#/experiments/{found.experiment_id}/runs?{asked}"
