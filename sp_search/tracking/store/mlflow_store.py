"""Writes runs to MLflow, with few requests per method. mlflow is imported only when a store is made: the import takes
2 s, and the search must not wait for it.

`log_batch` does not add points, tags or parameters that exist already, so sending them again is harmless.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sp_search.tracking.base.uri import artifact_location
from sp_search.tracking.store.mlflow_client import quiet_client
from sp_search.tracking.store.mlflow_models import MlflowModels
from sp_search.tracking.store.model import WinnerModel
from sp_search.tracking.store.run_store import RejectedError, RunMissingError, RunRef, RunStore
from sp_search.tracking.store.run_updates import RUNNING, MetricPoint, Start
from sp_search.tracking.store.schema import KIND_TAGS, PARENT_TAG, PREFIX, DatasetUse

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

_REFUSALS = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST", "MALFORMED_REQUEST", "INVALID_STATE", "ENDPOINT_NOT_FOUND")
_REFUSED_UPLOAD = (400, 413, 415, 422)  # HTTP: malformed, too large, wrong kind
_TAG_CHARACTERS = 5000  # a tag of any MLflow server since 1.0


def connect(uri: str) -> RunStore:
    """Open the store of a checked URI. MLflow settings in the user's environment are kept.

    Raises:
        Exception: the store can't be reached now, or a package it needs is missing.
    """
    return MlflowStore(quiet_client(uri), artifact_location(uri))


class MlflowStore:
    """One tracking server or database."""

    def __init__(self, client: MlflowClient, artifact_location: str | None) -> None:
        """Write through this client; new experiments keep their artifacts there, or None where the server says."""
        self._client = client
        self._artifact_location = artifact_location
        self._experiment_id = ""

    def find_runs(self, experiment: str, identity: Mapping[str, str]) -> dict[int | None, RunRef]:
        """The runs of a study by trial number, None for the parent. Creates the experiment if it is missing."""
        with _refusals():
            self._experiment_id = self._find_experiment(experiment)
            found: dict[int | None, RunRef] = {}
            for run in self._search(identity[f"{PREFIX}study_id"]):
                tags = run.data.tags
                if all(tags.get(key) == value for key, value in identity.items()):
                    number = int(tags[f"{PREFIX}trial"]) if f"{PREFIX}trial" in tags else None
                    found.setdefault(number, RunRef(run.info.run_id, run.info.status))
            return found

    def create_run(self, start: Start, parent_id: str | None) -> str:
        """Create a run and return its id. Its status is RUNNING."""
        tags = {name: _cut(value) for name, value in start.tags.items()}
        if parent_id is not None:
            tags[PARENT_TAG] = parent_id
        with _refusals():
            run = self._client.create_run(self._experiment_id, start.time_ms, tags, start.name)
        return str(run.info.run_id)

    def log(
        self, run_id: str, params: Mapping[str, str], metrics: Sequence[MetricPoint], tags: Mapping[str, str]
    ) -> None:
        """Add points, parameters and tags to a run. The client splits what is too large for one request."""
        from mlflow.entities import Metric, Param, RunTag

        with _refusals():
            self._client.log_batch(
                run_id,
                metrics=[Metric(point.name, point.value, point.time_ms, point.step) for point in metrics],
                params=[Param(name, value) for name, value in params.items()],
                tags=[RunTag(name, _cut(value)) for name, value in tags.items()],
            )

    def log_datasets(self, run_id: str, datasets: Sequence[DatasetUse]) -> None:
        """Say what data a run uses; what is said already is not said again."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        inputs = [
            DatasetInput(
                Dataset(one.name, one.digest, "sp_search", json.dumps(one.source), profile=json.dumps(one.profile)),
                [InputTag("mlflow.data.context", one.context)],
            )
            for one in datasets
        ]
        with _refusals():
            self._client.log_inputs(run_id, inputs)

    def set_status(self, run_id: str, status: str, end_ms: int) -> None:
        """Set the status of a run."""
        with _refusals():
            if status == RUNNING:
                self._client.update_run(run_id, status)
            else:
                self._client.set_terminated(run_id, status, end_ms)

    def publish(self, run_id: str, folder: Path, model: WinnerModel) -> str:
        """Log the winner as a model and register it; see `MlflowModels`."""
        with _refusals():
            return MlflowModels(self._client, self._experiment_id).publish(run_id, folder, model)

    def upload(self, run_id: str, file: Path, artifact_path: str) -> None:
        """Upload a file into a folder of the run's artifacts; it replaces a file of the same name."""
        with _refusals():
            self._client.log_artifact(run_id, str(file), artifact_path or None)

    def _find_experiment(self, name: str) -> str:
        found = self._client.get_experiment_by_name(name)
        if found is None:
            return str(self._client.create_experiment(name, self._artifact_location, tags=KIND_TAGS))
        if found.lifecycle_stage == "deleted":
            self._client.restore_experiment(found.experiment_id)
        return str(found.experiment_id)

    def _search(self, study_id: str) -> Iterator[Run]:
        from mlflow.entities import ViewType

        page_token = None
        while True:
            page = self._client.search_runs(
                [self._experiment_id],
                f"tags.`{PREFIX}study_id` = '{study_id}'",
                run_view_type=ViewType.ACTIVE_ONLY,
                max_results=1000,
                order_by=["attributes.start_time ASC"],
                page_token=page_token,
            )
            yield from page
            page_token = page.token
            if not page_token:
                return


@contextmanager
def _refusals() -> Iterator[None]:
    """Translate errors: RejectedError if MLflow will never accept it, RunMissingError if the run is gone."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code in _REFUSALS:
            raise RejectedError(str(error)) from error
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            raise RunMissingError(str(error)) from error
        raise
    except OSError as error:  # from an upload; the errors of requests are OSErrors
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status in _REFUSED_UPLOAD:
            raise RejectedError(str(error)) from error
        raise


def _cut(value: str) -> str:
    return value if len(value) <= _TAG_CHARACTERS else value[: _TAG_CHARACTERS - 3] + "..."
