import gzip
import io
import json
import tarfile

import pytest

from sp_search.errors import DownloadError
from sp_search.published.archive import fetch_members
from sp_search.published.catalogue import PublishedFile
from sp_search.published.download import place_of
from sp_search.published.unpack import untar
from tests.file_server import cut_after

NAMES = ("checkpoint_best.pt", "dict.txt")
CONTENT = {"lm/checkpoint_best.pt": b"weights", "lm/dict.txt": b"0 1\n", "lm/train.log": b"log", "notes.md": b"x"}


def member(name, *, kind=tarfile.REGTYPE, link="", mode=0o644):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, mode
    return info


def tgz(*entries):
    """A gzipped tar of (TarInfo or name, content)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for entry, content in entries:
            info = member(entry) if isinstance(entry, str) else entry
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


GOOD = tgz((member("lm", kind=tarfile.DIRTYPE), b""), *CONTENT.items())


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "lm.tgz"
    path.write_bytes(GOOD)
    return path


def everything_below(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def test_only_the_named_members_are_written_wherever_they_lie(archive, tmp_path):
    untar(archive, NAMES, tmp_path / "out")
    assert everything_below(tmp_path / "out") == set(NAMES)
    assert (tmp_path / "out" / "checkpoint_best.pt").read_bytes() == b"weights"
    assert (tmp_path / "out" / "dict.txt").read_bytes() == b"0 1\n"


HOSTILE = {
    "a way out": (member("../evil"), r"'\.\./evil' would be extracted to '.*evil', which is outside the destination"),
    "a way out under a wanted name": (member("a/../../dict.txt"), r"would be extracted to '.*', which is outside"),
    "a link out": (member("a", kind=tarfile.SYMTYPE, link="../../x"), "would link to '.*', which is outside"),
    "an absolute link": (member("a", kind=tarfile.SYMTYPE, link="/etc"), "'a' is a link to an absolute path"),
    "a hard link out": (member("a", kind=tarfile.LNKTYPE, link="../../x"), "would link to '.*', which is outside"),
    "a device": (member("a", kind=tarfile.CHRTYPE), "'a' is a special file"),
}


@pytest.mark.parametrize(("hostile", "said"), HOSTILE.values(), ids=HOSTILE)
def test_an_archive_with_a_hostile_member_is_refused_in_one_line(archive, tmp_path, hostile, said):
    archive.write_bytes(tgz((hostile, b""), *CONTENT.items()))
    with pytest.raises(
        DownloadError,
        match=rf"^{archive}: expected a tar with checkpoint_best\.pt, dict\.txt, got .*{said}.*; "
        r"nothing of it is used, remove it to download it again$",
    ):
        untar(archive, NAMES, tmp_path / "deep" / "out")
    assert everything_below(tmp_path) == {"lm.tgz", "deep", "deep/out"}


def test_a_link_under_a_wanted_name_is_not_taken_for_the_file(archive, tmp_path):
    link = member("lm/dict.txt", kind=tarfile.SYMTYPE, link="train.log")
    archive.write_bytes(tgz(("lm/checkpoint_best.pt", b"weights"), ("lm/train.log", b"log"), (link, b"")))
    with pytest.raises(DownloadError, match=r"found no dict\.txt; remove it to download it again$"):
        untar(archive, NAMES, tmp_path / "out")


def test_two_members_of_a_wanted_name_are_refused(archive, tmp_path):
    archive.write_bytes(tgz(*CONTENT.items(), ("other/dict.txt", b"1 1\n")))
    with pytest.raises(DownloadError, match=r"expected one dict\.txt, got a second, other/dict\.txt"):
        untar(archive, NAMES, tmp_path / "out")


def test_a_member_is_never_run_as_a_program(archive, tmp_path):
    wild = member("dict.txt", mode=0o6777)
    archive.write_bytes(tgz((wild, b"0 1\n"), ("checkpoint_best.pt", b"weights")))
    untar(archive, NAMES, tmp_path / "out")
    assert (tmp_path / "out" / "dict.txt").stat().st_mode & 0o7022 == 0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "got empty file"),
        (b"weights", r"got Not a gzipped file \(b'we'\)"),
        (GOOD[:60], "got Compressed file ended before .*"),
        (GOOD[:-20], "got Compressed file ended before .*"),
        (GOOD[:-8] + b"crc." + GOOD[-4:], "got CRC check failed .*"),
        (GOOD[:30] + b"?" + GOOD[31:], "got .*Error -3 while decompressing data: .*"),
        (gzip.compress(b"no tar", mtime=0), "got truncated header"),
    ],
    ids=["empty", "no gzip", "cut early", "cut at the end", "another checksum", "damaged", "no tar"],
)
def test_a_damaged_archive_is_told(archive, tmp_path, content, said):
    archive.write_bytes(content)
    with pytest.raises(
        DownloadError, match=rf"^{archive}: expected a tar with .*, {said}; remove it to download it again$"
    ):
        untar(archive, NAMES, tmp_path / "out")


@pytest.fixture
def published(file_server):
    return PublishedFile(file_server.put("/gslm/lm.tgz", GOOD))


def test_a_downloaded_archive_becomes_a_folder_and_goes(published, file_server, tmp_path):
    file_server.faults = [cut_after(20)]
    folder = fetch_members(published, NAMES, tmp_path)
    assert folder == place_of(published, tmp_path).with_suffix("")
    assert everything_below(folder) == {*NAMES, *(f"{name}.pin.json" for name in NAMES)}
    assert not place_of(published, tmp_path).exists()


def test_a_folder_that_is_there_needs_no_server(published, file_server, tmp_path):
    folder = fetch_members(published, NAMES, tmp_path)
    file_server.asked.clear()
    assert fetch_members(published, NAMES, tmp_path) == folder
    assert file_server.asked == []


def test_an_archive_put_there_by_hand_is_as_good(tmp_path):
    file = PublishedFile("https://nowhere.invalid/lm.tgz")
    place_of(file, tmp_path).parent.mkdir(parents=True)
    place_of(file, tmp_path).write_bytes(GOOD)
    assert (fetch_members(file, NAMES, tmp_path) / "dict.txt").read_bytes() == b"0 1\n"


def test_a_member_that_changed_on_the_disk_is_refused(published, tmp_path):
    folder = fetch_members(published, NAMES, tmp_path)
    (folder / "dict.txt").write_bytes(b"1 1\n")
    with pytest.raises(
        DownloadError,
        match=rf"dict\.txt: expected sha256 \w{{64}} \(pinned in .*\), got \w{{64}}; remove {folder} to download",
    ):
        fetch_members(published, NAMES, tmp_path)


def test_a_member_that_is_gone_is_told(published, tmp_path):
    folder = fetch_members(published, NAMES, tmp_path)
    (folder / "dict.txt").unlink()
    with pytest.raises(
        DownloadError,
        match=rf"dict\.txt: expected the unpacked file, found none; remove {folder} to download it again$",
    ):
        fetch_members(published, NAMES, tmp_path)


def test_an_archive_that_changed_upstream_is_refused_when_downloaded_again(published, file_server, tmp_path):
    folder = fetch_members(published, NAMES, tmp_path)
    folder.rename(tmp_path / "moved away")
    pin = json.loads((folder.parent / "lm.tgz.pin.json").read_text())
    file_server.put("/gslm/lm.tgz", tgz(*CONTENT.items(), ("more", b"")), version='"v2"')
    with pytest.raises(DownloadError, match=rf"expected sha256 {pin['sha256']} .* if its publisher changed it"):
        fetch_members(published, NAMES, tmp_path)
    assert not folder.exists()


def test_what_a_killed_process_left_is_begun_anew(published, tmp_path):
    left = place_of(published, tmp_path).with_name("lm.unpacking")
    left.mkdir(parents=True)
    (left / "checkpoint_best.pt").write_bytes(b"wei")
    folder = fetch_members(published, NAMES, tmp_path)
    assert (folder / "checkpoint_best.pt").read_bytes() == b"weights"
    assert not left.exists()


def test_a_bad_archive_leaves_no_folder(file_server, tmp_path):
    file = PublishedFile(file_server.put("/lm.tgz", tgz(("../dict.txt", b"0 1\n"))))
    with pytest.raises(DownloadError, match="which is outside the destination"):
        fetch_members(file, NAMES, tmp_path)
    assert everything_below(tmp_path / "published" / "127.0.0.1") == {
        "lm.lock", "lm.tgz", "lm.tgz.lock", "lm.tgz.pin.json",
    }  # fmt: skip
