"""The winner as a logged model and a version in the registry, in a real store."""

import pytest
from mlflow import MlflowClient

from sp_search.tracking.upload.sync import sync
from tests.tracking.stores import MODEL, ended_study

pytestmark = pytest.mark.slow


def test_the_winner_is_a_model_of_its_run_and_the_first_champion_and_is_sent_once(sqlite, tmp_path):
    run_id = ended_study(tmp_path / "runs", sqlite, "one")
    sync(tmp_path / "runs", sqlite, again=True)
    client = MlflowClient(sqlite)
    run = client.get_run(run_id)
    (output,) = run.outputs.model_outputs
    logged = client.get_logged_model(output.model_id)
    assert (logged.name, logged.source_run_id, logged.params) == ("best", run_id, {"lr": "0.01", "depth": "6"})
    assert {metric.key: metric.value for metric in logged.metrics} == {"valid_accuracy": 0.75, "test_accuracy": 0.5}
    assert {file.path for file in client.list_logged_model_artifacts(logged.model_id)} == {
        "MLmodel", "prompt.safetensors", "test_tally.json",
    }  # fmt: skip
    (version,) = client.search_model_versions(f"name = '{MODEL}'")
    assert (version.run_id, version.tags["sp_search.model_id"]) == (run_id, logged.model_id)
    assert client.get_model_version_by_alias(MODEL, "champion").version == version.version
    assert version.description.startswith(f"{MODEL} version 1: the first champion\n\nA search of prompts")
    assert run.data.tags["sp_search.champion"] == f"{MODEL} version 1: the first champion"


def test_the_champion_is_another_version_only_where_that_is_better_on_the_same_data(sqlite, tmp_path, caplog):
    some, more = [0] * 60 + [1] * 40, [0] * 30 + [1] * 70
    for name, hits, changes in (
        ("one", some, {}),
        ("same", some[::-1], {}),
        ("other", more, {"data": {"name": "tiny", "fingerprint": "e" * 64}}),
        ("better", more, {}),
    ):
        ended_study(tmp_path / "runs", sqlite, name, hits, **changes)
    said = [record.getMessage().removeprefix(f"MLflow: {MODEL} ") for record in caplog.records]
    assert said[0] == "version 1: the first champion"
    assert said[1].startswith("version 2: version 1 stays the champion: this one is not told apart from version 1")
    assert said[2].startswith("version 3: version 1 stays the champion: it was measured on other data")
    assert said[3].startswith("version 4: the new champion, for it beats version 1 by 0.300 (")
    assert str(MlflowClient(sqlite).get_model_version_by_alias(MODEL, "champion").version) == "4"
