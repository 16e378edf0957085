"""Deletes the runs, the logged models and the versions of a study in a store of MLflow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sp_search.errors import StudyError
from sp_search.tracking.base.uri import redact
from sp_search.tracking.store.champion import ALIAS
from sp_search.tracking.store.mlflow_client import answering
from sp_search.tracking.store.schema import PREFIX, RUN_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Run
    from mlflow.entities.model_registry import ModelVersion


@dataclass(frozen=True)
class StoredStudy:
    """What a store has of a study."""

    uri: str
    runs: list[str] = field(default_factory=list)  # ids of those that are not deleted
    models: list[LoggedModel] = field(default_factory=list)
    versions: list[ModelVersion] = field(default_factory=list)

    @property
    def described(self) -> str:
        """In a line for people."""
        counts = ((self.runs, "run"), (self.models, "logged model"), (self.versions, "registered version"))
        found = [f"{len(there)} {word}{'s' * (len(there) != 1)}" for there, word in counts if there]
        champions = [f"{v.name} version {v.version} is its champion" for v in self.versions if ALIAS in v.aliases]
        return "; ".join([f"{redact(self.uri)}: {', '.join(found) or 'nothing'}", *champions])


def find_study(uri: str, experiment: str, identity: Mapping[str, str]) -> StoredStudy:
    """What a store has of a study.

    Raises:
        StudyError: the store does not answer.
    """
    with answering(uri) as client:
        found = client.get_experiment_by_name(experiment)
        if found is None:
            return StoredStudy(uri)
        runs = list(_runs(client, found.experiment_id, identity))
        parents = [run.info.run_id for run in runs if f"{PREFIX}trial" not in run.data.tags]
        models = [m for run_id in parents for m in _models(client, found.experiment_id, run_id)]
        versions = [v for run_id in parents for v in client.search_model_versions(f"run_id = '{run_id}'")]
        whole = [client.get_model_version(v.name, v.version) for v in versions]  # a search leaves out aliases
        active = [run.info.run_id for run in runs if run.info.lifecycle_stage == "active"]
        return StoredStudy(uri, active, models, whole)


def forget_study(stored: StoredStudy) -> Callable[[], None]:
    """Delete all of it, or nothing. MLflow keeps deleted runs until `mlflow gc`.

    Returns:
        A function that brings the runs back; `sync` with again=true registers the versions anew.

    Raises:
        StudyError: the store does not answer, or refuses; the runs are there again.
    """
    done: list[str] = []

    def restore() -> None:
        with answering(stored.uri) as client:
            for run_id in done:
                client.restore_run(run_id)

    try:
        with answering(stored.uri) as client:
            for run_id in stored.runs:
                client.delete_run(run_id)
                done.append(run_id)
            for version in stored.versions:
                client.delete_model_version(version.name, str(version.version))
                if not client.search_model_versions(f"name = '{version.name}'"):
                    client.delete_registered_model(version.name)
            for model in stored.models:
                client.delete_logged_model(model.model_id)
    except StudyError:
        restore()
        raise
    return restore


def _runs(client: MlflowClient, experiment_id: str, identity: Mapping[str, str]) -> Iterator[Run]:
    """All runs of a study, deleted ones too: a command that was interrupted may have deleted some."""
    from mlflow.entities import ViewType

    asked = " AND ".join(f"tags.`{key}` = '{value}'" for key, value in identity.items())
    page_token = None
    while True:
        page = client.search_runs([experiment_id], asked, ViewType.ALL, 1000, page_token=page_token)
        yield from page
        if not (page_token := page.token):
            return


def _models(client: MlflowClient, experiment_id: str, run_id: str) -> list[LoggedModel]:
    return list(client.search_logged_models([experiment_id], f"tags.`{RUN_TAG}` = '{run_id}'"))
