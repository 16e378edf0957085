"""The command that shows runs in the browser."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from sp_search.errors import StudyError
from sp_search.tracking.base.mlflow_env import SERVER
from sp_search.tracking.base.uri import artifact_location, checked_uri, redact, sqlite_path
from sp_search.tracking.store.mlflow_client import answering
from sp_search.tracking.store.schema import PREFIX

_VIEW_TAG = "mlflow.sharedViewState."
_NAME_WIDTH, _WIDTH = 400, 140  # pixels
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
        StudyError: the store is a file that is not there yet, or a server that does not answer.
    """
    uri = checked_uri(tracking_uri)
    if uri.startswith(("http://", "https://")):
        parts = urlsplit(uri)
        shown = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")
        url = shown + _runs_of(uri, experiment, metric)
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
    """The path of an experiment's runs; empty where there is no such experiment.

    MLflow's own first page shows traces of language models, of which there are none, and its list has no metric.
    Which columns a list has is kept in the browser; only the link of a shared view, as its button "Share" makes one,
    brings them. So the view is shared here.

    Raises:
        StudyError: the store does not answer.
    """
    if not experiment:
        return ""
    asked = {"workflowType": "machine_learning"}
    with answering(uri) as client:
        found = client.get_experiment_by_name(experiment)
        if found is not None and metric:
            asked["viewStateShareKey"] = f"sp-search-{metric}"
            client.set_experiment_tag(
                found.experiment_id, f"{_VIEW_TAG}{asked['viewStateShareKey']}", json.dumps(_view(metric))
            )
    return "" if found is None else f"/#/experiments/{found.experiment_id}/runs?{urlencode(asked)}"


def _view(metric: str) -> dict[str, Any]:
    """The list of runs in the state that MLflow's page keeps: the best first, names in full, what decides beside."""
    name = "attributes.`Run Name`"
    columns = [f"metrics.`{metric}`", f"tags.`{PREFIX}state`", "attributes.`Duration`"]
    return {
        "orderByKey": columns[0],
        "orderByAsc": False,
        "selectedColumns": columns,
        "columnOrder": [name, *columns],
        "columnWidths": {name: _NAME_WIDTH} | dict.fromkeys(columns, _WIDTH),
    }
