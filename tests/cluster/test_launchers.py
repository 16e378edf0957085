"""The files that start clusters: as Ray's own launcher, a shell and a reader of versions take them."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "cluster"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LAUNCHERS = ["on-prem", "aws", "gcp"]


def pinned(package: str) -> str:
    """The version of a package that pyproject.toml asks for."""
    (found,) = [d.partition("==")[2] for d in PROJECT["dependencies"] if re.match(rf"{package}(\[|==)", d)]
    return found


def launcher(name):
    """A launcher's file with Ray's defaults for all that it leaves out."""
    config = prepare_config(yaml.safe_load((CLUSTER / f"{name}.yaml").read_text()))
    validate_config(config)
    return config


def ray_jobs():
    """KubeRay's manifest: the documents by their kind."""
    return {document["kind"]: document for document in yaml.safe_load_all((CLUSTER / "kuberay.yaml").read_text())}


@pytest.mark.parametrize("name", LAUNCHERS)
def test_ray_takes_a_launcher_and_starts_every_node_with_a_token(name):
    config = launcher(name)
    starts = [
        command
        for of in ("head", "worker")
        for command in config[f"{of}_start_ray_commands"]
        if "ray start" in command
    ]
    assert len(starts) == 2
    assert all(re.search(r"RAY_AUTH_MODE=token \S*ray start", command) for command in starts)
    assert config["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"


@pytest.mark.parametrize("name", LAUNCHERS)
def test_nothing_of_the_launchers_defaults_installs_another_ray_or_opens_a_dashboard(name):
    config = launcher(name)
    commands = "\n".join(line for key, lines in config.items() if key.endswith("commands") for line in lines)
    assert "0.0.0.0" not in commands
    assert set(re.findall(r"pip install .*", commands)) <= {"pip install --quiet --editable ~/sp_search[cluster]"}
    assert config["docker"] == {}


@pytest.mark.parametrize("name", LAUNCHERS)
def test_the_head_takes_jobs_on_its_own_address_alone_and_finds_python_for_them(name):
    (start,) = [command for command in launcher(name)["head_start_ray_commands"] if "ray start" in command]
    assert re.findall(r"--dashboard-host=(\S+)", start) == ["127.0.0.1"]
    (path,) = re.findall(r" PATH=(\S+):\$PATH ", start)
    assert f" {path}/ray start --head" in start


@pytest.mark.parametrize("name", ["aws", "gcp"])
def test_a_cloud_starts_as_many_nodes_as_it_may(name):
    config = launcher(name)
    worker = config["available_node_types"]["worker"]
    assert worker["min_workers"] == worker["max_workers"] == config["max_workers"]
    assert worker["resources"]["GPU"] == 1


def test_what_a_cluster_needs_is_an_extra_with_the_same_ray():
    extra = PROJECT["optional-dependencies"]["cluster"]
    assert f"ray[default]=={pinned('ray')}" in extra


def test_a_ray_job_has_a_token_shared_runs_and_one_image_of_this_version():
    job = ray_jobs()["RayJob"]["spec"]
    pods = [
        of["template"]["spec"]
        for of in (job["rayClusterSpec"]["headGroupSpec"], *job["rayClusterSpec"]["workerGroupSpecs"])
    ]
    assert job["rayClusterSpec"]["authOptions"] == {"mode": "token"}
    assert job["rayClusterSpec"]["rayVersion"] == pinned("ray")
    assert {c["image"] for pod in pods for c in pod["containers"]} == {f"REGISTRY/sp-search:{PROJECT['version']}"}
    assert all(pod["securityContext"]["runAsNonRoot"] for pod in pods)
    claim = ray_jobs()["PersistentVolumeClaim"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    for pod in pods:
        assert pod["volumes"] == [
            {"name": "shared", "persistentVolumeClaim": {"claimName": claim["metadata"]["name"]}}
        ]
        assert pod["containers"][0]["volumeMounts"] == [{"name": "shared", "mountPath": "/shared"}]


def test_a_ray_job_waits_for_the_nodes_it_starts():
    job = ray_jobs()["RayJob"]["spec"]
    (workers,) = job["rayClusterSpec"]["workerGroupSpecs"]
    assert f"cluster.nodes={workers['replicas'] + 1}" in job["entrypoint"]
    assert {"runs=/shared/runs", "cache=/shared/cache"} <= set(job["entrypoint"].split())


def test_images_have_a_python_that_the_project_takes():
    for path in (CLUSTER / "Dockerfile", CLUSTER / "mlflow" / "compose.yaml"):
        (version,) = re.findall(r"FROM python:(\d\.\d+)-", path.read_text())
        assert version in ("3.11", "3.12"), PROJECT["requires-python"]
    assert f"sp-search:{PROJECT['version']} ." in (CLUSTER / "Dockerfile").read_text()


def test_the_image_copies_what_is_there():
    copied = re.findall(r"^COPY (.+) \S+$", (CLUSTER / "Dockerfile").read_text(), re.MULTILINE)
    assert all((ROOT / name).exists() for names in copied for name in names.split())


@pytest.mark.parametrize("path", sorted(CLUSTER.glob("*.sh")), ids=lambda path: path.name)
def test_a_script_is_shell_runs_alone_and_has_its_token_for_itself(path):
    subprocess.run(["bash", "-n", path], check=True)
    assert path.stat().st_mode & 0o111
    text = path.read_text()
    assert "export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=" in text
    assert text.index("umask 077") < text.index("secrets.token_hex")
    assert "trap stop EXIT" in text
