import json

import pytest
from mlflow import MlflowClient

from sp_search.cli.commands.ui import UiSettings
from sp_search.cli.settings.compose import load_settings
from sp_search.errors import ConfigError, StudyError
from sp_search.tracking.api.ui import ui_command


def test_a_file_is_shown_on_this_machine_alone(tmp_path):
    database = tmp_path / "mlflow.db"
    database.touch()
    command = ui_command(f"sqlite:///{database}")
    assert command.argv[1:] == ("-m", "mlflow", "server", "--host", "127.0.0.1", "--port", "5000", "--workers", "1")
    assert command.env["MLFLOW_BACKEND_STORE_URI"] == f"sqlite:///{database}"
    assert command.message == f"MLflow UI: http://127.0.0.1:5000, showing sqlite:///{database} (Ctrl-C ends it)"


def test_the_address_shows_the_training_runs_of_the_experiment_with_the_best_first(tmp_path):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    number = MlflowClient(uri).create_experiment("sp-search")
    command = ui_command(uri, experiment="sp-search", metric="valid_accuracy")
    assert command.url == (
        f"http://127.0.0.1:5000/#/experiments/{number}/runs?workflowType=machine_learning"
        "&viewStateShareKey=sp-search-valid_accuracy"
    )
    tags = MlflowClient(uri).get_experiment(number).tags
    view = json.loads(tags["mlflow.sharedViewState.sp-search-valid_accuracy"])
    assert (view["orderByKey"], view["orderByAsc"]) == ("metrics.`valid_accuracy`", False)
    assert view["selectedColumns"][0] == "metrics.`valid_accuracy`"
    assert ui_command(uri, experiment="another").url == "http://127.0.0.1:5000"


def test_another_host_comes_with_a_warning(tmp_path):
    (tmp_path / "mlflow.db").touch()
    command = ui_command(f"sqlite:///{tmp_path}/mlflow.db", host="0.0.0.0", port=80)
    assert "anyone who reaches this machine can read and change it" in command.message


def test_a_databases_password_is_in_no_message_and_on_no_command_line():
    command = ui_command("postgresql://user:secret@host/db")
    assert "secret" not in command.message + " ".join(command.argv)
    assert "secret" in command.env["MLFLOW_BACKEND_STORE_URI"]


def test_a_server_needs_no_command():
    command = ui_command("http://user:secret@host:5000")
    assert (command.argv, command.url) == ((), "http://host:5000")


def test_a_server_that_does_not_answer_is_named_without_its_password():
    with pytest.raises(
        StudyError, match=r"^http://\*\*\*@127.0.0.1:9: expected an MLflow store that answers"
    ) as told:
        ui_command("http://user:secret@127.0.0.1:9", experiment="sp-search")
    assert "secret" not in str(told.value)


def test_before_the_first_search_there_is_nothing_to_show(tmp_path):
    with pytest.raises(StudyError, match=r"mlflow.db: expected runs of a search, got no such file; run `make search"):
        ui_command(f"sqlite:///{tmp_path}/mlflow.db")


def test_a_port_that_no_machine_has_is_refused():
    with pytest.raises(ConfigError, match=r"port: expected 1 to 65535, got 99999"):
        load_settings(["port=99999"], UiSettings)
