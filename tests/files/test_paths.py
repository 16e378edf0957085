"""Paths that a user names: every bad one is one line."""

import contextlib
import errno
import os
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sp_search.errors import ConfigError, DataError, UserError
from sp_search.files.paths import check_file, check_folder, check_room, check_writable, is_disk_full, user_path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "^to: expected a path, got an empty text$"),
        ("a\0b", r"^to: expected a path, got one with a NUL byte: 'a\\x00b'$"),
        ("~nouser9/x", "^to: expected a path, got '~nouser9/x', but there is no user nouser9; write ./~nouser9/x"),
        ("x/" + "a" * 256, "^to: expected names of up to 255 bytes in a path, got one of 256: aaa"),
        ("é" * 128, "^to: expected names of up to 255 bytes in a path, got one of 256: ééé"),
        ("abc/" * 1100, "^to: expected a path of up to 4095 bytes, got one of 4400$"),
        (os.fsdecode(b"caf\xe9"), r"^to: expected a path in UTF-8, got b'caf\\xe9'; rename the file or folder$"),
        ("caf\ud800", r"^to: expected a path in UTF-8, got 'caf\\ud800'; rename"),
    ],
)
def test_a_path_that_no_file_can_have_is_refused(text, message):
    with pytest.raises(ConfigError, match=message):
        user_path(text, "to")


def test_home_is_expanded_and_other_paths_are_left_as_they_are(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert [str(user_path(text, "to")) for text in ("~/x", "~", "a~b", "./~x", "/a b/ü")] == [
        "/home/me/x", "/home/me", "a~b", "~x", "/a b/ü",
    ]  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(st.text(st.characters(), max_size=300))
def test_any_text_is_a_path_or_refused_in_one_line(text):
    with contextlib.suppress(ConfigError):
        path = user_path(text, "to")
        path.exists()
        str(path).encode()


@pytest.mark.parametrize(
    ("make", "check", "message"),
    [
        (lambda path: None, check_file, "expected a list, found no such file"),
        (lambda path: path.mkdir(), check_file, "expected a list, got a folder"),
        (lambda path: path.symlink_to("gone"), check_file, "expected a list, got a link to gone, which is not there"),
        (lambda path: None, check_folder, "expected a list, found none"),
        (lambda path: path.touch(), check_folder, "expected a list, got a file"),
        (lambda path: path.symlink_to("gone"), check_folder, "expected a list, got a link to gone, which"),
    ],
)
def test_the_other_kind_of_thing_is_refused(tmp_path, make, check, message):
    make(tmp_path / "a")
    with pytest.raises(DataError, match=rf"a: {message}"):
        check(tmp_path / "a", "a list")


@pytest.mark.parametrize("check", [check_file, check_folder])
def test_a_path_that_may_not_be_looked_at_is_refused(tmp_path, check):
    with pytest.raises(UserError, match="expected a path that can be looked at, got File name too long"):
        check(tmp_path / ("a" * 300), "a list")


def test_a_folder_that_can_be_written_is_made_and_left_empty(tmp_path):
    check_writable(tmp_path / "a" / "b", "runs")
    assert list((tmp_path / "a" / "b").iterdir()) == []
    check_writable(tmp_path / "c" / "d", "runs", make=False)
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("make", [True, False])
def test_a_file_in_the_way_is_refused_by_the_settings_name(tmp_path, make):
    (tmp_path / "a").touch()
    with pytest.raises(ConfigError, match=r"^runs: .*/a/b \(a file is in its way\); choose another with runs=PATH$"):
        check_writable(tmp_path / "a" / "b", "runs", make=make)


@pytest.mark.parametrize("make", [True, False])
@pytest.mark.parametrize("folder", ["gone/b", "gone"])
def test_a_link_to_nothing_is_refused(tmp_path, make, folder):
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere" / "at" / "all")
    with pytest.raises(ConfigError, match=r"^cache: expected a folder that can be written, got .*cache=PATH$"):
        check_writable(tmp_path / folder, "cache", make=make)


@pytest.mark.parametrize("make", [True, False])
def test_a_folder_that_takes_no_files_is_refused_with_the_systems_reason(make):
    with pytest.raises(
        ConfigError, match=r"^to: expected a folder that can be written, got /proc/new \(.+\); choose"
    ):
        check_writable(Path("/proc/new"), "to", make=make)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for root")
def test_a_read_only_folder_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(ConfigError, match=r"^to: .* \(Permission denied\); choose another with to=PATH$"):
        check_writable(tmp_path / "new", "to")


def test_a_disk_without_enough_room_is_told_with_what_it_has(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "shutil.disk_usage", lambda place: SimpleNamespace(free=2_500_000 if place == tmp_path else 0)
    )
    check_room(tmp_path / "new" / "deep", "to", 2_500_000)
    message = f"to: expected 3 MB or more free on the disk of {tmp_path}/new, got 2.5; free some, or choose another"
    with pytest.raises(ConfigError, match="^" + re.escape(message)):
        check_room(tmp_path / "new", "to", 3_000_000)


@pytest.mark.parametrize(
    ("error", "full"),
    [(OSError(errno.ENOSPC, "x"), True), (OSError(errno.EDQUOT, "x"), True), (OSError(errno.EIO, "x"), False),
     (ValueError(errno.ENOSPC), False)],
)  # fmt: skip
def test_a_full_disk_is_told_from_other_faults(error, full):
    assert is_disk_full(error) is full
