"""Studies with a winner in a real store, for tests of what becomes of them."""

from pathlib import Path

from mlflow import MlflowClient
from mlflow.artifacts import list_artifacts

from sp_search.tracking.api.tracker import MlflowTracker
from tests.tiny import tiny_corpus
from tests.tracking.fakes import INFO, leave_winner, report, won

MODEL = "sp-search-intent-tiny"
FILES = {"MLmodel", "prompt.safetensors", "summary.json", "test_tally.json"}
"""Of a study's run and its model."""


def ended_study(
    runs: Path, uri: str, name: str, hits=(0, 1, 1), files: Path | None = None, experiment: str = "", **summary
) -> str:
    """A study of one trial, whose winner was right in these utterances of test; the id of its run.

    `files` is a folder that is kept as its report.
    """
    leave_winner(runs / name, hits, name.encode())
    tracker = MlflowTracker(runs / name, uri, interval_s=0.05, corpus=tiny_corpus(), experiment=experiment)
    tracker.study_opened({**INFO, "study": name})
    tracker.trial_started(0, {"lr": 0.5})
    tracker.reported(0, report(320, 0.75))
    tracker.trial_finished(0, "COMPLETE")
    if files is not None:
        tracker.artifact(None, files, "report")
    tracker.study_finished(won(study=name, **summary))
    assert tracker.close(30) == 0
    return tracker.run_id


def runs_of(uri: str, experiment: str = "sp_search/intent") -> dict[tuple[str, str], str]:
    """The ids of the runs that are not deleted, by study and trial."""
    client = MlflowClient(uri)
    found = client.search_runs([client.get_experiment_by_name(experiment).experiment_id])
    keys = [(r.data.tags["sp_search.study"], r.data.tags.get("sp_search.trial", "")) for r in found]
    assert len(set(keys)) == len(keys)
    return {key: run.info.run_id for key, run in zip(keys, found, strict=True)}


def versions_of(uri: str) -> dict[str, str]:
    """The studies of the registered versions, by version."""
    found = MlflowClient(uri).search_model_versions(f"name = '{MODEL}'")
    return {str(version.version): version.tags["sp_search.study"] for version in found}


def files_of(client: MlflowClient, run_id: str) -> set[str]:
    """The names of all files of a run and of its model; a client itself remembers where they were."""
    run = client.get_run(run_id)
    (output,) = run.outputs.model_outputs
    places = run.info.artifact_uri, client.get_logged_model(output.model_id).artifact_location
    return {
        file.path.removeprefix("artifacts/")
        for uri in places
        for file in list_artifacts(uri, tracking_uri=client.tracking_uri)
    }
