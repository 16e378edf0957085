"""Searches as jobs: what is written of their logs, how they end, and a cluster that does not answer."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import ray.job_submission
from ray.job_submission import JobStatus

from sp_search.errors import ConfigError, StudyError
from sp_search.search.cluster import jobs
from sp_search.search.cluster.jobs import RUNS, STUDY, TRIES, JobServer

LOG = ["trial 0\ntri", "al 1\n", "the path\n"]


class Cluster:
    """Ray's client of a cluster that has one job; each look at it ends as the next of `looks` says."""

    looks: tuple = ()
    down: tuple = ()
    ends = SimpleNamespace(status=JobStatus.SUCCEEDED, driver_exit_code=0)
    jobs: tuple = ()
    submitted: dict

    def __init__(self, address):
        self.left, self.faults = list(self.looks), list(self.down)

    async def tail_job_logs(self, job):
        pieces, error = self.left.pop(0) if self.left else (len(LOG), None)
        for piece in LOG[:pieces]:
            yield piece
        if error is not None:
            raise error

    def get_job_logs(self, job):
        return "".join(LOG)

    def get_job_info(self, job):
        if self.faults:
            raise self.faults.pop()
        return SimpleNamespace(status=JobStatus.RUNNING) if self.left else self.ends

    def list_jobs(self):
        return list(self.jobs)

    def submit_job(self, **asked):
        if self.faults:
            raise self.faults.pop()
        Cluster.submitted = asked
        return asked["submission_id"]


@pytest.fixture
def cluster(monkeypatch):
    monkeypatch.setattr(ray.job_submission, "JobSubmissionClient", Cluster)
    monkeypatch.setattr(jobs, "PAUSE_S", 0.0)
    return lambda **changes: [monkeypatch.setattr(Cluster, name, value) for name, value in changes.items()]


@pytest.mark.parametrize(
    "looks",
    [
        (),
        ((0, None), (1, None), (2, None)),
        ((1, RuntimeError("closed")), (0, ConnectionError("refused")), (2, OSError("reset"))),
    ],
    ids=["at once", "in pieces", "over a connection that breaks"],
)
def test_a_log_is_written_once_and_whole(cluster, looks):
    cluster(looks=looks)
    written = []
    assert JobServer("http://head:8265").follow("first-1", written.append) == 0
    assert "".join(written) == "".join(LOG)


@pytest.mark.parametrize(
    ("status", "code", "ends"),
    [
        (JobStatus.SUCCEEDED, 0, 0), (JobStatus.FAILED, 2, 2), (JobStatus.FAILED, None, 1),
        (JobStatus.STOPPED, None, 1), (JobStatus.STOPPED, 130, 130),
    ],
)  # fmt: skip
def test_the_exit_code_is_that_of_the_jobs_command(cluster, status, code, ends):
    cluster(ends=SimpleNamespace(status=status, driver_exit_code=code))
    assert JobServer("http://head:8265").follow("first-1", print) == ends


def test_a_cluster_that_does_not_answer_any_more_is_given_up_in_one_line(cluster):
    cluster(down=tuple(ConnectionError("refused\nby it") for _ in range(TRIES)))
    with pytest.raises(
        StudyError, match="expected the cluster of job first-1 to answer, got refused by it; the same"
    ):
        JobServer("http://head:8265").follow("first-1", print)


def test_only_a_job_that_lives_and_is_of_the_study_in_these_runs_is_its_job(cluster):
    def job(number, status, study, runs):
        return SimpleNamespace(submission_id=str(number), status=status, metadata={STUDY: study, RUNS: runs})

    cluster(
        jobs=(
            job(0, JobStatus.SUCCEEDED, "first", "/runs"), job(1, JobStatus.RUNNING, "second", "/runs"),
            job(2, JobStatus.PENDING, "first", "/others"),
            SimpleNamespace(submission_id=None, status=JobStatus.RUNNING, metadata=None),
            job(4, JobStatus.PENDING, "first", "/runs"),
        )
    )  # fmt: skip
    server = JobServer("http://head:8265")
    assert server.job_of("first", Path("/runs")) == "4"
    assert server.job_of("third", Path("/runs")) is None


def test_a_study_of_any_name_gives_an_id_that_fits_an_address(cluster):
    job = JobServer("http://head:8265").submit("python", [Path("/a/sp_search")], "mein Ä/1", Path("/runs"))
    assert job.startswith("mein___1-")
    assert Cluster.submitted["runtime_env"]["py_modules"] == ["/a/sp_search"]
    assert Cluster.submitted["metadata"] == {STUDY: "mein Ä/1", RUNS: "/runs"}


STARTS = "Request failed with status code 500: No available agent to submit job, please try again later."


def test_a_cluster_that_only_starts_is_asked_again(cluster):
    cluster(down=(RuntimeError(STARTS),) * (TRIES - 1))
    assert JobServer("http://head:8265").submit("python", [], "first", Path("/runs")).startswith("first-")


@pytest.mark.parametrize("down", [(RuntimeError(STARTS),) * TRIES, (RuntimeError("no, and never"),)])
def test_a_job_that_is_refused_for_good_is_one_line(cluster, down):
    cluster(down=down)
    with pytest.raises(ConfigError, match="expected a Ray cluster that takes jobs, got http://head:8265: "):
        JobServer("http://head:8265").submit("python", [], "first", Path("/runs"))


def test_where_nobody_takes_jobs_it_is_one_line():
    with pytest.raises(
        ConfigError, match=r"^dashboard: expected a Ray cluster that takes jobs, got http://127\.0\.0\.1"
    ):
        JobServer("http://127.0.0.1:1")


@pytest.mark.parametrize("address", ["http://head:8265", "http://other:1"])
def test_the_address_that_is_given_counts_whatever_the_environment_says(cluster, monkeypatch, address):
    seen = []
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    monkeypatch.setattr(Cluster, "__init__", lambda self, _: seen.append(os.environ["RAY_API_SERVER_ADDRESS"]))
    JobServer(address)
    assert seen == [address]
    assert "RAY_API_SERVER_ADDRESS" not in os.environ


def test_a_reader_that_has_ended_is_no_fault_of_the_cluster(cluster):
    def closed(_):
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        JobServer("http://head:8265").follow("first-1", closed)


def test_a_stream_that_never_works_is_done_without(cluster):
    cluster(looks=tuple((0, RuntimeError("no websockets here")) for _ in range(2 * TRIES)))
    written = []
    assert JobServer("http://head:8265").follow("first-1", written.append) == 0
    assert "".join(written) == "".join(LOG)
