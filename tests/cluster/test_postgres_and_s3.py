"""A search as a team runs it: its study in PostgreSQL, its runs in an MLflow server over PostgreSQL and S3."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import boto3
import pytest
from mlflow import MlflowClient
from moto.server import ThreadedMotoServer

from tests.cli.shell import LM, SHORT, sp_search
from tests.cluster.postgres import ABSENT, Postgres
from tests.tiny import write_tiny_corpus
from tests.tracking.servers import free_port

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.skipif(bool(ABSENT), reason=ABSENT)]
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.fixture(scope="module")
def postgres():
    server = Postgres()
    try:
        for database in ("studies", "mlflow"):
            server.create(database)
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def s3():
    """A client of a server of this process, with one bucket."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in KEYS.items():
            patch.setenv(name, value)
        client = boto3.client("s3", endpoint_url="http://{}:{}".format(*server.get_host_and_port()))
        client.create_bucket(Bucket="mlflow")
        yield client
    server.stop()


@pytest.fixture(scope="module")
def mlflow(postgres, s3, tmp_path_factory):
    """The address of the MLflow server, started as `cluster/mlflow/compose.yaml` starts it."""
    port, log = free_port(), (tmp_path_factory.mktemp("mlflow") / "log").open("w")
    own = {"MLFLOW_BACKEND_STORE_URI": postgres.url("mlflow"), "MLFLOW_S3_ENDPOINT_URL": s3.meta.endpoint_url}
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    server = subprocess.Popen(
        [*command, "--artifacts-destination", "s3://mlflow"], env=os.environ | KEYS | own, stdout=log, stderr=log
    )
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 120
    while not _is_up(url):
        assert server.poll() is None, Path(log.name).read_text()
        assert time.monotonic() < deadline, Path(log.name).read_text()
        time.sleep(0.2)
    yield url
    server.terminate()
    server.wait(timeout=30)


@pytest.fixture(scope="module")
def searched(in_ray, postgres, mlflow, tmp_path_factory):
    """The folder of an ended search, its words, and what it printed."""
    folder = tmp_path_factory.mktemp("searched")
    write_tiny_corpus(folder / "data", train=200, valid=40, test=40)
    words = ["task=intent", LM, "data=data", *SHORT, "study=tiny", "trials=4", "cluster.workers=1"]
    words += [f"cluster.storage={postgres.url('studies')}", f"tracking.uri={mlflow}", "schedule.final.seeds=0"]
    return folder, words, sp_search(folder, "search", *words)


def test_the_study_is_in_the_database_and_goes_on_from_there(searched, postgres):
    folder, words, _ = searched
    assert sum(_states(postgres).values()) == 4
    again = sp_search(folder, "search", *words, "trials=6")
    summary = json.loads(Path(again.stdout.splitlines()[-1]).read_text())
    assert sum(summary["trials"].values()) == sum(_states(postgres).values()) == 6
    assert summary["trials"]["failed"] == 0


def test_mlflow_has_every_run_in_the_database_and_every_file_in_s3(searched, mlflow, s3, tmp_path):
    folder, _, _ = searched
    summary = json.loads((folder / "runs" / "tiny" / "summary.json").read_text())
    client = MlflowClient(mlflow)
    (experiment,) = (e for e in client.search_experiments() if e.name != "Default")
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    assert {run.info.status for run in runs} <= {"FINISHED", "KILLED"}
    assert summary["mlflow_run_id"] in {run.info.run_id for run in runs}
    kept = {found["Key"] for found in s3.list_objects_v2(Bucket="mlflow")["Contents"]}
    assert any(key.endswith("prompt.safetensors") for key in kept)
    got = client.download_artifacts(summary["mlflow_run_id"], "summary.json", str(tmp_path))
    assert json.loads(Path(got).read_text())["study"] == "tiny"


def test_the_password_is_in_no_output_no_file_and_no_run(searched, postgres, mlflow):
    folder, _, done = searched
    assert postgres.password not in done.stdout + done.stderr
    holding = [p for p in folder.rglob("*") if p.is_file() and postgres.password.encode() in p.read_bytes()]
    assert holding == []
    told = "".join(str(row) for table in ("params", "tags", "experiment_tags") for row in _rows(postgres, table))
    assert postgres.password not in told


def _states(postgres):
    return dict(postgres.ask("studies", "SELECT state::text, count(*) FROM trials GROUP BY 1"))


def _rows(postgres, table):
    return postgres.ask("mlflow", f"SELECT * FROM {table}")


def _is_up(url):
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5) as answer:
            return answer.read() == b"OK"
    except OSError:
        return False
