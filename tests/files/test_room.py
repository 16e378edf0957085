"""Waiting for room on a disk, with a disk and a clock of its own."""

import errno

import pytest

from sp_search.files.room import TELL_EVERY_S, once_there_is_room, wait_for_room


def full_until(tries, error=errno.ENOSPC):
    left = [tries]

    def write():
        left[0] -= 1
        if left[0] >= 0:
            raise OSError(error, "no")
        return "written"

    return write


def test_what_a_full_disk_refuses_is_written_when_there_is_room_and_said_twice(tmp_path, capfd):
    waits = []
    assert once_there_is_room(tmp_path, full_until(3), waits.append) == "written"
    assert len(waits) == 3
    assert capfd.readouterr().err == (
        f"sp-search: {tmp_path}: the disk is full; free some, and it goes on from here\n"
        f"sp-search: {tmp_path}: the disk has room again\n"
    )


def test_a_share_that_is_used_up_is_a_full_disk_too(tmp_path):
    assert once_there_is_room(tmp_path, full_until(1, errno.EDQUOT), lambda _: None) == "written"


def test_a_disk_that_stays_full_is_said_again_after_a_while(tmp_path, capfd):
    now = [0.0]

    def wait(_):
        now[0] += TELL_EVERY_S / 2

    once_there_is_room(tmp_path, full_until(5), wait, lambda: now[0])
    assert capfd.readouterr().err.count("the disk is full") == 2


def test_another_error_is_raised(tmp_path):
    with pytest.raises(PermissionError):
        once_there_is_room(tmp_path, full_until(1, errno.EACCES))


def test_a_folder_with_room_is_left_as_it_was(tmp_path, capfd):
    wait_for_room(tmp_path)
    assert (list(tmp_path.iterdir()), capfd.readouterr().err) == ([], "")
