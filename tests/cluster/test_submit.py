"""Searches as jobs of a real cluster, from a machine that is no node of it, with their inputs on a real S3 server."""

import json
import os
import secrets
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import boto3
import pytest
import yaml
from moto.server import ThreadedMotoServer
from ray.job_submission import JobStatus, JobSubmissionClient
from transformers import Qwen2Config

from tests.cli.shell import SHORT
from tests.cluster.processes import LIMIT_S, session, wait_for
from tests.cluster.simulated import SimulatedCluster
from tests.tiny import write_tiny_corpus
from tests.transformers_models import save_as_slamkit, tiny_model, write_tokeniser

pytestmark = [pytest.mark.slow, pytest.mark.long]
ROOT = Path(__file__).parents[2]
S3 = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A cluster of two nodes whose Python finds sp_search nowhere but in what a job brings, and a bucket."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in S3.items():
            patch.setenv(name, value)
        patch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
        patch.chdir(tmp_path_factory.mktemp("elsewhere"))
        Path("sp_search").mkdir()  # a folder of this name must not come before what a job brings
        Path("sp_search/__init__.py").write_text("raise ImportError('not this one')")
        endpoint = "http://{}:{}".format(*server.get_host_and_port())
        boto3.client("s3", endpoint_url=endpoint).create_bucket(Bucket="team")
        found = SimulatedCluster(dashboard=True)
        try:
            found.add(2)
            found.storage = f"s3://team/speech?region=us-east-1&endpoint_override={quote(endpoint, safe='')}"
            yield found
        finally:
            found.close()
            server.stop()


@pytest.fixture
def command(cluster, tmp_path):
    """A submission from a folder with an LM, a corpus and a space, and its environment."""
    write_tiny_corpus(tmp_path / "units", train=200, valid=40, test=40)
    config = Qwen2Config(
        vocab_size=502, hidden_size=32, intermediate_size=50, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=1024, pad_token_id=0, bos_token_id=1, eos_token_id=1,
    )  # fmt: skip
    save_as_slamkit(tiny_model(config), tmp_path / "mylm")
    write_tokeniser(tmp_path / "mylm", 500)
    space = yaml.safe_load((ROOT / "search_spaces" / "space" / "intent.yaml").read_text())
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(space | {"prompt_length": 4}))
    words = [
        "submit", "task=intent", "study=first", "lm=mylm", "data=units", "space=own.yaml", f"runs={tmp_path}/runs",
        f"cache={tmp_path}/cache", f"storage={cluster.storage}", f"dashboard={cluster.dashboard}", *SHORT, "trials=4",
        "schedule.first_trials=[]", "schedule.final.seeds=0", "dtype=float32", "tracking.enabled=false",
    ]  # fmt: skip
    environment = cluster.env | S3 | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    environment.pop("RAY_AUTH_MODE")  # a user who has the token does not set it
    return [sys.executable, "-m", "sp_search.cli", *words], environment


def test_a_job_with_an_lm_a_corpus_and_a_space_of_ones_own_searches_to_the_end(cluster, command, tmp_path):
    line, environment = command
    done = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 0, done.stderr + done.stdout
    sent = [line.rpartition(",")[0] for line in done.stderr.splitlines() if " goes to s3://" in line]
    assert sent == [
        f"sp-search: {what} goes to s3://team/speech: {n} files" for what, n in (("mylm", 4), ("units", 3))
    ]
    summary = json.loads(Path(done.stdout.splitlines()[-1]).read_text())
    assert (summary["lm"]["name"], summary["data"]["name"]) == ("mylm", "units")
    assert (sum(summary["trials"].values()), summary["trials"]["failed"]) == (4, 0)
    assert summary["best"]["params"]["prompt_length"] == 4, "the space that went along in the package"
    assert done.stdout.count(": fetching s3://") == 2
    assert len([*(tmp_path / "cache" / "fetched").iterdir()]) == 4, "two folders and their locks"


def test_a_job_is_left_followed_again_stopped_and_gone_on_with(cluster, command, tmp_path):
    line, environment = command
    line = [*line, "schedule.budget=65536", "schedule.grace=65536", "trials=8"]
    with session([*line, "follow=false"], cwd=tmp_path, env=environment) as submitted:
        job = submitted.communicate(timeout=LIMIT_S)[0].strip()
    with session(line, cwd=tmp_path, env=environment) as following:
        wait_for(lambda: (tmp_path / "runs" / "first" / "journal.log").exists(), following)
        os.kill(following.pid, signal.SIGTERM)  # as SIGINT, which programs in the background ignore
        _, told = following.communicate(timeout=LIMIT_S)
    assert following.returncode == 130
    assert told.splitlines()[-2:] == [
        f"sp-search: study first has job {job} already, and nothing was submitted",
        f"sp-search: job {job} goes on; the same command follows it again, and with stop=true stops it",
    ]
    client = JobSubmissionClient(cluster.dashboard, headers={"Authorization": f"Bearer {cluster.token}"})
    assert client.get_job_status(job) == JobStatus.RUNNING
    stopped = subprocess.run(
        [*line, "stop=true"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=LIMIT_S
    )
    assert stopped.returncode == 0, stopped.stderr
    assert client.get_job_status(job) == JobStatus.STOPPED
    heartbeat = json.loads((tmp_path / "runs" / "first" / "heartbeat.json").read_text())
    assert heartbeat["how"] == "stopped", "it had the time to save its trials"
    again = subprocess.run(
        [*line, "follow=false"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=LIMIT_S
    )
    assert again.stdout.strip() != job
    client.stop_job(again.stdout.strip())


@pytest.mark.parametrize("token", ["", secrets.token_hex(32)], ids=["none", "another"])
def test_who_has_not_the_token_may_submit_nothing(command, tmp_path, token):
    line, environment = command
    environment = {k: v for k, v in environment.items() if not k.startswith("RAY_AUTH")}
    environment |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token} if token else {"RAY_AUTH_MODE": "disabled"}
    done = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 2, done.stderr
    assert done.stderr.splitlines()[-1].startswith("sp-search: dashboard: expected the token of http://127.0.0.1:")
    assert not (tmp_path / "runs").exists()
