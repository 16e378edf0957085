"""The MLflow server's compose file: closed, pinned, without a secret, and asked for health."""

import re
from pathlib import Path

import pytest
import yaml

from tests.cluster.test_launchers import pinned

FOLDER = Path(__file__).parents[2] / "cluster" / "mlflow"
SERVICES = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"]
SECRET = re.compile(r"PASSWORD|SECRET|ACCESS_KEY|_USER(NAME)?$|_URI$")


def asked_for(text: str) -> set[str]:
    """Variables of the environment in a text."""
    return set(re.findall(r"(?<!\$)\$\{(\w+)", text))


def test_only_mlflow_is_published_and_only_on_this_machine():
    ports = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert ports == {"mlflow": ["127.0.0.1:5000:5000"]}
    assert all("network_mode" not in service for service in SERVICES.values())


@pytest.mark.parametrize("name", SERVICES)
def test_every_secret_comes_from_the_environment_and_must_be_there(name):
    for key, value in SERVICES[name]["environment"].items():
        if SECRET.search(key) and (key, value) != ("POSTGRES_USER", "mlflow"):
            assert re.search(r"\$\{\w+:\?\}", value), f"{key}: {value}"


def test_the_example_names_all_that_is_asked_for_and_holds_none_of_it():
    lines = [line for line in (FOLDER / ".env.example").read_text().splitlines() if line and line[0] != "#"]
    assert [line for line in lines if not line.endswith("=")] == []
    assert {line.removesuffix("=") for line in lines} == asked_for((FOLDER / "compose.yaml").read_text())
    ignored = (FOLDER.parents[1] / ".gitignore").read_text().splitlines()
    assert "cluster/mlflow/.env" in ignored


def test_the_server_is_the_mlflow_of_the_project_behind_a_login():
    mlflow = SERVICES["mlflow"]
    assert f'"mlflow[auth]=={pinned("mlflow")}"' in mlflow["build"]["dockerfile_inline"]
    assert mlflow["image"].endswith(f":{pinned('mlflow')}")
    assert "--app-name basic-auth" in mlflow["command"]
    assert all(re.search(r"==[\d.]+$", word.strip('"')) for word in _installed(mlflow))


def test_images_are_pinned_to_a_release():
    for service in SERVICES.values():
        assert re.search(r":(RELEASE\.[\dTZ-]+|\d+\.\d[\w.-]*)$", service["image"]), service["image"]


def test_what_lasts_has_a_health_check_and_is_waited_for():
    assert {name for name, service in SERVICES.items() if "healthcheck" in service} == {"mlflow", "postgres", "s3"}
    assert {name: how["condition"] for name, how in SERVICES["mlflow"]["depends_on"].items()} == {
        "postgres": "service_healthy", "bucket": "service_completed_successfully",
    }  # fmt: skip
    assert SERVICES["bucket"]["depends_on"] == {"s3": {"condition": "service_healthy"}}


def _installed(service):
    (words,) = re.findall(r"pip install (.+)", service["build"]["dockerfile_inline"])
    return [word for word in words.split() if not word.startswith("--")]
