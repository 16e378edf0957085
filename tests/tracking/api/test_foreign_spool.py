"""A folder `spool` that is another program's, or damaged: named, and no study is lost for it."""

import json

import pytest
from hypothesis import HealthCheck, given, settings

from sp_search.errors import StudyError
from sp_search.tracking.api.forget import remains_of
from sp_search.tracking.api.tracker import MlflowTracker
from sp_search.tracking.spool.spool import Spool
from sp_search.tracking.store.schema import study_tags
from sp_search.tracking.upload.sync import spool_fault
from tests.any_json import changed
from tests.tracking.fakes import INFO

TAGS = study_tags(INFO, study_id="a" * 32)
OPENED = {"kind": "study_opened", "time_ms": 1, "number": None,
          "data": {"name": "s", "experiment": "e", "tags": TAGS, "datasets": []}}  # fmt: skip


def write(runs, *events):
    folder = runs / "s" / "spool"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    return folder


FOREIGN = OPENED | {"data": {"user": "somebody"}}


def test_a_study_with_another_programs_spool_is_not_forgotten_in_part(tmp_path):
    write(tmp_path, FOREIGN)
    with pytest.raises(StudyError, match=r"spool of this program, got another's; leave MLflow alone with tracking"):
        remains_of(tmp_path, "s", f"sqlite:///{tmp_path}/mlflow.db")
    assert remains_of(tmp_path, "s", None).stores == ()


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"store": 1', "[" * 100_000])
def test_a_damaged_note_of_a_store_is_named(tmp_path, text):
    folder = write(tmp_path, OPENED)
    (folder / "cursor-0.json").write_text(text)
    with pytest.raises(
        StudyError, match=r"cursor-0.json: expected which store has the study, got a damaged file; rem"
    ):
        remains_of(tmp_path, "s", f"sqlite:///{tmp_path}/mlflow.db")


def test_a_search_says_that_a_spool_is_another_programs(tmp_path):
    write(tmp_path, FOREIGN)
    with pytest.raises(StudyError, match=r"got another's; move it away, or say tracking.enabled=false"):
        MlflowTracker(tmp_path / "s", f"sqlite:///{tmp_path}/mlflow.db")


def test_a_spool_whose_only_line_is_torn_is_begun_anew(tmp_path):
    folder = write(tmp_path)
    (folder / "events.jsonl").write_text('{"kind": "study_op')
    MlflowTracker(tmp_path / "s", f"sqlite:///{tmp_path}/mlflow.db").close(0)


@given(event=changed(OPENED))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_opens_a_spool_it_has_what_is_needed_or_is_named(tmp_path, event):
    spool = Spool(write(tmp_path, event))
    if not spool_fault(spool):
        assert isinstance(spool.name(), str)
        assert spool.opened().data["tags"]
