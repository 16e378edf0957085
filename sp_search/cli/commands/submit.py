"""Hand a search to a Ray cluster that this machine is not a node of, as a job (Ray Jobs), and follow it.

This package and the settings go with the job. LM and corpus are put on `storage` under the sha256 of their content,
once; the head fetches them once. The nodes need Python with what sp_search depends on, and `runs` on storage that all
of them see. The job has the environment in which Ray was started on the head, log-ins included, and not yours.

CTRL-C ends the following, not the job. While a job with this `study` and `runs` goes on, the command follows it,
whatever its other settings. Where it has ended, the command goes on with the study.

    ray dashboard cluster/aws.yaml      # in a second shell: forwards the head's port 8265 to this machine
    sp-search submit task=intent study=first storage=s3://team/sp-search runs=/shared/runs tracking=server
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sp_search.cli.ending import INTERRUPTED
from sp_search.cli.settings.overrides import last_of_each_key, unread_words
from sp_search.cli.settings.reads import OF_SEARCH
from sp_search.cli.settings.shipped import check_words, command_line, shipped
from sp_search.cli.wiring.search_setup import prepare_search, tell_corpus
from sp_search.config import Settings
from sp_search.errors import ConfigError, StudyError
from sp_search.message import say
from sp_search.search.cluster.jobs import JobServer

READS = OF_SEARCH
STARTS_FROM = ("cluster=ray",)
EXAMPLE = "sp-search submit task=intent study=first storage=s3://team/sp-search runs=/shared/runs tracking=server"
OWN = ("dashboard", "storage", "follow", "stop")


@dataclass(frozen=True, kw_only=True)
class SubmitSettings(Settings):
    """Where the job goes, and what it takes along."""

    storage: str | None = None  # s3://, gs:// or hdfs:// folder, or a path that the nodes see too, for LM and corpus
    dashboard: str = "http://127.0.0.1:8265"  # of the cluster's head, which takes the job
    follow: bool = True  # write the job's log until it ends; false = print the job's id and end
    stop: bool = False  # stop the job that searches in this study; it saves its trials first

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.cluster.address is None:
            raise ConfigError("cluster: expected cluster=ray, got one that starts Ray on this machine")
        if not self.dashboard.startswith(("http://", "https://")):
            raise ConfigError(f"dashboard: expected http://HOST:PORT, got {self.dashboard!r}")


def run(config: SubmitSettings, words: Sequence[str]) -> int:
    """Submit, and follow; returns the exit code of the search."""
    words = last_of_each_key(words)
    check_words(words)
    server = JobServer(config.dashboard)
    job = server.job_of(config.study, config.runs)
    if config.stop:
        return _stopped(server, job, config)
    if job is None:
        job = _submitted(server, config, words)
        say(f"job {job} is submitted; the same command with stop=true stops it, and then goes on with its study")
    else:
        say(f"study {config.study} has job {job} already, and nothing was submitted")
    if not config.follow:
        print(job)
        return 0
    try:
        return server.follow(job, _write)
    except KeyboardInterrupt:
        say(f"job {job} goes on; the same command follows it again, and with stop=true stops it")
        return INTERRUPTED


def _submitted(server: JobServer, config: SubmitSettings, words: Sequence[str]) -> str:
    """Check all that the search will check and this machine can know, then submit it."""
    if config.storage is None:
        raise ConfigError("storage: expected a folder for LM and corpus, got none; say storage=s3://BUCKET/FOLDER")
    known_here = replace(config, schedule=replace(config.schedule, warm_start=None))  # that study is on the cluster
    tell_corpus(prepare_search(known_here))
    with tempfile.TemporaryDirectory(prefix="sp-search-job-") as name:
        folder = Path(name)
        packages = shipped(folder)
        unread = unread_words(words, READS, SubmitSettings)
        line = command_line(words, (*OWN, *unread), config.storage, folder, say)
        return server.submit(line, packages, config.study, config.runs)


def _stopped(server: JobServer, job: str | None, config: SubmitSettings) -> int:
    if job is None:
        raise StudyError(
            f"study {config.study}: expected a job that searches in it with runs={config.runs}, found none on "
            f"{config.dashboard}"
        )
    server.stop(job)
    server.follow(job, _write)
    return 0  # whatever the search's own exit code, as 130: it was to stop


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
