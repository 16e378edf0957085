"""The winner of a study in MLflow: a logged model of its run, a version in the registry, and the alias `champion`.

What is there already is found again by the digest of its tensors, so that all may be sent again.
"""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from sp_search.metrics.tally import Tally
from sp_search.metrics.tally_file import TALLY_FILE, read_tally
from sp_search.tracking.store.champion import ALIAS, Decision, decide
from sp_search.tracking.store.model import MODEL_NAME, WinnerModel, standing_of
from sp_search.tracking.store.schema import NOTE_TAG, PREFIX, RUN_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel
    from mlflow.entities.model_registry import ModelVersion

_MODEL_TAG, _DECIDED_TAG = f"{PREFIX}model_id", f"{PREFIX}champion"
_VERSIONS_TAG = "mlflow.modelVersions"
"""Of a logged model: MLflow's page shows the versions in it."""


class MlflowModels:
    """The models of one experiment."""

    def __init__(self, client: MlflowClient, experiment_id: str) -> None:
        """Use this client."""
        self._client, self._experiment_id = client, experiment_id

    def publish(self, run_id: str, folder: Path, model: WinnerModel) -> str:
        """Log the model, register it, and move the alias if it is better.

        Args:
            run_id: of the study.
            folder: the files of the model, and nothing else.
            model: what is known of it.

        Returns:
            A line that says which version it is and whose the alias is; empty if that was said before.
        """
        logged = self._logged(run_id, folder, model)
        version = self._version(run_id, logged, model)
        if _DECIDED_TAG in version.tags:
            return ""
        decision = self._decision(version, model)
        if decision.moves:
            self._client.set_registered_model_alias(version.name, ALIAS, version.version)
        said = f"{version.name} version {version.version}: {decision.why}"
        self._client.set_tag(run_id, _DECIDED_TAG, said)
        self._client.update_model_version(version.name, version.version, f"{said}\n\n{model.description}")
        self._client.set_model_version_tag(version.name, version.version, _DECIDED_TAG, decision.why)
        return said

    def _logged(self, run_id: str, folder: Path, model: WinnerModel) -> LoggedModel:
        """The logged model; one whose upload was interrupted is uploaded again."""
        from mlflow.entities import LoggedModelOutput, LoggedModelStatus, Metric

        asked = f"tags.`{PREFIX}digest` = '{model.digest}' AND tags.`{RUN_TAG}` = '{run_id}'"
        there = list(self._client.search_logged_models([self._experiment_id], asked))
        if there and there[0].status == LoggedModelStatus.READY:
            return there[0]
        tags = {**model.tags, RUN_TAG: run_id, NOTE_TAG: model.description}
        logged = (
            there[0]
            if there
            else self._client.create_logged_model(
                self._experiment_id, MODEL_NAME, run_id, tags, dict(model.params), model_type="sp_search"
            )
        )
        self._client.log_model_artifacts(logged.model_id, str(folder))
        run = self._client.get_run(run_id)
        outputs = run.outputs.model_outputs if run.outputs else []
        if logged.model_id not in {output.model_id for output in outputs}:
            self._client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
        metrics = [
            Metric(name, value, run.info.start_time, 0, model_id=logged.model_id)
            for name, value in model.metrics.items()
        ]
        self._client.log_batch(run_id, metrics=metrics)
        return self._client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)

    def _version(self, run_id: str, logged: LoggedModel, model: WinnerModel) -> ModelVersion:
        """The version of the logged model in the registry."""
        name = model.registered_as
        if not self._client.search_registered_models(f"name = '{name}'"):
            self._client.create_registered_model(name, description="Winners of sp_search's studies of one task")
        for version in self._client.search_model_versions(f"name = '{name}' AND run_id = '{run_id}'"):
            if version.tags.get(f"{PREFIX}digest") == model.digest:
                return version
        tags = {**model.tags, _MODEL_TAG: logged.model_id}  # a SQL store does not keep the id itself
        version = self._client.create_model_version(  # a source models:/ID would be looked for in the global store
            name, logged.artifact_location, run_id, tags, await_creation_for=0, model_id=logged.model_id
        )
        listed = json.dumps([{"name": name, "version": version.version}])
        self._client.set_logged_model_tags(logged.model_id, {_VERSIONS_TAG: listed})
        return version

    def _decision(self, version: ModelVersion, model: WinnerModel) -> Decision:
        aliases = self._client.get_registered_model(version.name).aliases
        if str(aliases.get(ALIAS, version.version)) == str(version.version):
            return decide(model.standing, None, None)
        champion = self._client.get_model_version(version.name, aliases[ALIAS])
        theirs = standing_of(champion.tags, None)
        if theirs is not None and theirs.data_fingerprint == model.standing.data_fingerprint:
            theirs = standing_of(champion.tags, self._tally(champion))
        return decide(model.standing, f"version {champion.version}", theirs)

    def _tally(self, version: ModelVersion) -> Tally | None:
        """What a version found in each utterance of test; None for one that did not keep it."""
        from mlflow.artifacts import download_artifacts

        model_id = version.tags.get(_MODEL_TAG, "")
        if not model_id or not any(
            file.path == TALLY_FILE for file in self._client.list_logged_model_artifacts(model_id)
        ):
            return None
        with TemporaryDirectory() as folder:
            uri = f"{self._client.get_logged_model(model_id).artifact_location}/{TALLY_FILE}"
            return read_tally(Path(download_artifacts(uri, dst_path=folder, tracking_uri=self._client.tracking_uri)))
