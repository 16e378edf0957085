import errno
import fcntl
import shutil

import pytest

from sp_search.errors import StudyError
from sp_search.files import room
from sp_search.files.write import write_text
from sp_search.tracking.spool import spool as spool_module
from sp_search.tracking.spool.jsonl_log import read_chunk
from sp_search.tracking.spool.spool import TENSORS, Spool, open_writer


def test_a_file_to_upload_outlives_its_original(tmp_path):
    spool, original = Spool(tmp_path / "spool"), tmp_path / "plot.png"
    original.write_bytes(b"picture")
    writer = open_writer(spool)
    writer.append_artifact(3, original, "plots")
    original.unlink()
    (event,) = read_chunk(spool.artifacts, 0).events
    assert (spool.folder / event.data["file"]).read_bytes() == b"picture"
    assert (event.number, event.data["artifact_path"]) == (3, "plots")


def test_a_folder_is_told_file_by_file_with_its_inner_folders(tmp_path):
    spool, folder = Spool(tmp_path / "spool"), tmp_path / "prompt"
    (folder / "more").mkdir(parents=True)
    (folder / "prompt.json").write_text("{}")
    (folder / "more" / "a.txt").write_text("a")
    open_writer(spool).append_artifact(0, folder, "prompt")
    told = {(e.data["artifact_path"], e.data["file"].rsplit("/")[-1]) for e in read_chunk(spool.artifacts, 0).events}
    assert told == {("prompt", "prompt.json"), ("prompt/more", "a.txt")}


def test_the_same_content_is_kept_once_and_new_content_beside_it(tmp_path):
    spool, plot = Spool(tmp_path / "spool"), tmp_path / "plot.png"
    writer = open_writer(spool)
    for content in (b"one", b"one", b"two"):
        plot.write_bytes(content)
        writer.append_artifact(None, plot, "")
    assert len([path for path in spool.files.rglob("*") if path.is_file()]) == 2


def test_a_second_search_on_the_study_is_refused(tmp_path):
    spool = Spool(tmp_path / "spool")
    first = open_writer(spool)
    with pytest.raises(StudyError, match=r"spool: expected no other search on this study, got one that is running"):
        open_writer(spool, wait_s=0.1)
    first.close()
    open_writer(spool, wait_s=0.1).close()


def test_a_study_is_ended_by_its_summary_or_its_abandonment_until_it_is_opened_again(tmp_path):
    spool = Spool(tmp_path / "spool")
    writer, ended = open_writer(spool), []
    for kind, number in (
        ("study_opened", None), ("trial_started", 0), ("study_finished", None), ("study_opened", None),
        ("trial_started", 1), ("abandoned", None), ("reported", 1),
    ):  # fmt: skip
        writer.append(kind, number, {})
        ended.append(spool.is_ended())
    assert ended == [False, False, True, False, False, True, True]


def test_a_file_system_without_locks_does_not_end_a_search(tmp_path, monkeypatch):
    def no_locks(fd, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    open_writer(Spool(tmp_path / "spool")).close()


class FullAtFirst:
    """Stands for a function that finds the disk full once."""

    def __init__(self, does):
        self._does, self.calls = does, 0

    def __call__(self, *arguments, **more):
        self.calls += 1
        if self.calls == 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return self._does(*arguments, **more)


@pytest.fixture
def no_waiting(monkeypatch):
    monkeypatch.setattr(room.once_there_is_room, "__defaults__", (lambda seconds: None, room.time.monotonic))


def test_a_full_disk_is_waited_for_with_a_model(tmp_path, monkeypatch, no_waiting):
    spool, folder = Spool(tmp_path / "spool"), tmp_path / "best"
    folder.mkdir()
    (folder / TENSORS).write_bytes(b"weights")
    writer = open_writer(spool)
    monkeypatch.setattr(shutil, "copyfile", FullAtFirst(shutil.copyfile))
    monkeypatch.setattr(writer._artifacts, "append", FullAtFirst(writer._artifacts.append))
    writer.append_model(folder, {"name": "demo"})
    (event,) = read_chunk(spool.artifacts, 0).events
    assert (event.kind, event.data["name"]) == ("model", "demo")
    assert [(spool.folder / file).read_bytes() for file in event.data["files"]] == [b"weights"]


def test_a_full_disk_is_waited_for_with_a_text(tmp_path, monkeypatch, no_waiting):
    spool = Spool(tmp_path / "spool")
    writer = open_writer(spool)
    monkeypatch.setattr(spool_module, "write_text", FullAtFirst(write_text))
    writer.append_text("summary.json", "{}")
    (event,) = read_chunk(spool.artifacts, 0).events
    assert (event.number, event.data["artifact_path"]) == (None, "")
    assert (spool.folder / event.data["file"]).name == "summary.json"
    assert (spool.folder / event.data["file"]).read_text() == "{}"
