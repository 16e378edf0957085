"""The record of a worker: whole lines, or none."""

import errno
import json
import resource
import signal
from io import FileIO

from sp_search.search.workers import course
from sp_search.search.workers.course import read_courses, recorded
from tests.search.fake_trainer import FakeTrainer


def test_a_full_disk_ends_the_record_and_not_the_search(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(course, "FileIO", lambda path, how: FileIO("/dev/full", how))
    trainer = recorded(FakeTrainer, tmp_path)
    trainer.add(0, {"lr": 0.5}, seed=0, budget=200)
    assert trainer.advance([0], {0: 100})[0].utterances_seen == 100
    assert (
        capsys.readouterr().err.count("the record of this worker ends here: [Errno 28] No space left on device") == 1
    )


def test_a_worker_starts_without_a_record_where_the_disk_has_no_room_for_the_file(tmp_path, monkeypatch, capsys):
    def full(path, how):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(course, "FileIO", full)
    trainer = recorded(FakeTrainer, tmp_path)
    trainer.add(0, {"lr": 0.5}, seed=0, budget=200)
    assert trainer.advance([0], {0: 100})[0].utterances_seen == 100
    assert capsys.readouterr().err.count("this worker leaves no record: [Errno 28] No space left on device") == 1


def test_a_line_that_fits_in_part_alone_ends_the_record(tmp_path, capsys):
    trainer = recorded(FakeTrainer, tmp_path)
    (path,) = tmp_path.iterdir()
    before = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 10, before[0][1]))
    try:
        trainer.seek(8)
        trainer.seek(9)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before[0])
        signal.signal(signal.SIGXFSZ, before[1])
    trainer.seek(10)
    assert [call["call"] for call in read_courses(tmp_path)[path.name]] == ["begin"]
    assert json.loads(path.read_bytes().splitlines()[0])["call"] == "begin"
    assert capsys.readouterr().err.count("the record of this worker ends here") == 1
