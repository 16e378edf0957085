"""A zip's members; those of a tar are in `test_archive.py`."""

import io
import stat
import zipfile

import pytest

from sp_search.errors import DownloadError
from sp_search.published.unpack import unzip

NAMES = ("config.json", "pytorch_model*.bin")


@pytest.fixture
def packed(tmp_path):
    """Makes a zip of names and contents; a ZipInfo may stand for a name."""

    def packed(*entries):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as zipped:
            for entry, content in entries:
                zipped.writestr(entry, content)
        path = tmp_path / "lm.zip"
        path.write_bytes(out.getvalue())
        return path

    return packed


CONFIG, WEIGHTS = ("lm/config.json", b"{}"), ("lm/pytorch_model-1-of-2.bin", b"weights" * 99)


def link(name):
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return info


def test_only_members_that_are_asked_for_are_written_by_their_bare_names(packed, tmp_path):
    more = [("../../evil/tokenizer.json", b"x"), ("lm/run.py", b"raise"), ("../other/pytorch_model-2-of-2.bin", b"2")]
    unzip(packed(CONFIG, WEIGHTS, *more), NAMES, tmp_path / "out")
    there = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert there == {"lm.zip", "out/config.json", "out/pytorch_model-1-of-2.bin", "out/pytorch_model-2-of-2.bin"}
    assert (tmp_path / "out/pytorch_model-1-of-2.bin").read_bytes() == WEIGHTS[1]


def test_a_link_under_a_wanted_name_is_not_taken_for_the_file(packed, tmp_path):
    archive = packed((link("lm/config.json"), b"/etc/passwd"), WEIGHTS)
    with pytest.raises(DownloadError, match=r"found no config\.json; remove it to download it again$"):
        unzip(archive, NAMES, tmp_path / "out")


def test_a_second_file_of_one_name_is_refused(packed, tmp_path):
    archive = packed(CONFIG, ("other/config.json", b"[]"))
    with pytest.raises(DownloadError, match=r"expected one config\.json, got a second, other/config\.json"):
        unzip(archive, NAMES, tmp_path / "out")


ENTRY = b"PK\x01\x02\x14\x03\x14\x00"  # of the directory at the end; its flags follow
DAMAGES = {
    "empty": (lambda raw: b"", "got File is not a zip file"),
    "cut": (lambda raw: raw[:-30], "got File is not a zip file"),
    "encrypted": (lambda raw: raw.replace(ENTRY + b"\x00", ENTRY + b"\x01"), "got .*encrypted"),
    "damaged": (
        lambda raw: raw[:60] + bytes([raw[60] ^ 1]) + raw[61:],
        "got (Bad CRC-32|Error -3 while decompressing)",
    ),
}


@pytest.mark.parametrize(("damage", "said"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_zip_is_told(packed, tmp_path, damage, said):
    archive = packed(WEIGHTS, CONFIG)
    archive.write_bytes(damage(archive.read_bytes()))
    with pytest.raises(DownloadError, match=rf"^{archive}: expected a zip with config\.json, .*, {said}"):
        unzip(archive, NAMES, tmp_path / "out")
