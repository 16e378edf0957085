"""`sp-search submit` beside a fake cluster; `tests/cluster` has a real one."""

from sp_search.cli.commands import submit
from tests.cli.shell import sp_search


class FakeServer:
    """A cluster's head that has a job for every study but `new`."""

    def __init__(self, dashboard):
        pass

    def job_of(self, study, runs):
        return None if study == "new" else "job-1"

    def stop(self, job):
        pass

    def follow(self, job, write):
        return 0


def test_storage_is_needed_only_where_something_is_submitted(tmp_path, monkeypatch):
    monkeypatch.setattr(submit, "JobServer", FakeServer)
    sp_search(tmp_path, "submit", "study=old", "runs=/shared", "stop=true")
    assert sp_search(tmp_path, "submit", "study=old", "runs=/shared", "follow=false").stdout == "job-1\n"
    done = sp_search(tmp_path, "submit", "study=new", "runs=/shared", expect=2)
    assert done.stderr == (
        "sp-search: storage: expected a folder for LM and corpus, got none; say storage=s3://BUCKET/FOLDER\n"
    )
