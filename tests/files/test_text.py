"""The door for text: any compression, encoding and line end, read once; and never a crash."""

import bz2
import gzip
import io
import lzma
import os
import threading

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from sp_search.errors import DataError
from sp_search.files import packed
from sp_search.files.text import ByteSource, lines_of, open_source, text_lines

PACKINGS = {
    "plain": bytes,
    "gzip": gzip.compress,
    "xz": lzma.compress,
    "zstd": zstandard.compress,
    "bzip2": bz2.compress,
}
MARKED = {
    "utf-8": b"",
    "utf-8-sig": b"",
    "utf-16-le": b"\xff\xfe",
    "utf-16-be": b"\xfe\xff",
    "utf-32-le": b"\xff\xfe\x00\x00",
    "utf-32-be": b"\x00\x00\xfe\xff",
}
LINE = st.text(st.characters(exclude_characters="\n\r\0", exclude_categories=["Cs"]), max_size=30).filter(
    lambda line: not line.startswith("\ufeff")
)
ASCII_LINE = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)


def read(raw):
    return list(lines_of(ByteSource(io.BytesIO(raw), "a.txt")))


@settings(max_examples=1000, deadline=None)
@given(
    lines=st.lists(LINE, max_size=8),
    encoding=st.sampled_from(sorted(MARKED)),
    packing=st.sampled_from(sorted(PACKINGS)),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    closed=st.booleans(),
)
def test_lines_come_back_from_every_encoding_compression_and_line_end(lines, encoding, packing, end, closed):
    text = end.join(lines) + (end if closed and lines else "")
    raw = MARKED[encoding] + text.encode(encoding)
    wanted = lines if lines and (closed or lines[-1]) else lines[:-1]
    assert read(PACKINGS[packing](raw)) == wanted


@settings(max_examples=1000, deadline=None)
@given(raw=st.binary(max_size=200), packing=st.sampled_from(sorted(PACKINGS)), cut=st.integers(0, 60))
def test_any_bytes_are_read_or_refused_in_one_line(raw, packing, cut):
    whole = PACKINGS[packing](raw)
    told = ""
    try:
        lines = read(whole[: len(whole) - cut])
    except DataError as error:
        lines, told = [], str(error)
    assert all("\n" not in line and "\0" not in line for line in lines)
    assert not told or (told.startswith("a.txt") and "\n" not in told)


@settings(max_examples=300, deadline=None)
@given(
    lines=st.lists(ASCII_LINE, min_size=1, max_size=6).filter(lambda lines: len("".join(lines)) > 2),
    encoding=st.sampled_from(["utf-16-le", "utf-16-be"]),
)
def test_utf_16_of_latin_text_needs_no_mark(lines, encoding):
    assert read(("\n".join(lines) + "\n").encode(encoding)) == lines


@settings(max_examples=300, deadline=None)
@given(
    lines=st.lists(
        st.text(st.characters(exclude_categories=["C"], max_codepoint=0x3FFFF), max_size=20), min_size=1, max_size=6
    ),
    encoding=st.sampled_from(["utf-32-le", "utf-32-be"]),
)
def test_utf_32_of_any_text_needs_no_mark(lines, encoding):
    raw = ("\n".join(lines) + "\n").encode(encoding)
    assert read(raw) == lines
    assert ByteSource(io.BytesIO(raw), "a").is_text()


@pytest.mark.parametrize("packing", ["gzip", "xz", "zstd", "bzip2"])
def test_streams_behind_each_other_are_one_text_and_zeros_behind_them_nothing(packing):
    pack = PACKINGS[packing]
    assert read(pack(b"1\n2") + pack(b"3\n") + bytes(512)) == ["1", "23"]
    assert read(pack(b"")) == []
    assert read(pack(gzip.compress(b"1\n", mtime=0))) == ["1"]


@pytest.mark.parametrize("packing", ["gzip", "xz", "zstd", "bzip2"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_compressed_file_cut_off_anywhere_is_refused(packing, share):
    whole = PACKINGS[packing]("".join(f"{n % 16} {n % 7} <s> on\n" for n in range(3000)).encode())
    with pytest.raises(DataError, match=rf"^a\.txt: expected a whole {packing} file, got one that is cut off"):
        read(whole[: max(12, int(share * len(whole)))])


@pytest.mark.parametrize("packing", ["gzip", "xz", "bzip2"])
def test_a_damaged_compressed_file_is_refused(packing):
    whole = bytearray(PACKINGS[packing]("".join(f"{n % 16} {n % 7} <s> on\n" for n in range(3000)).encode()))
    whole[len(whole) // 2] ^= 0xFF
    with pytest.raises(DataError, match=rf"^a\.txt: expected a whole {packing} file, got "):
        read(bytes(whole))


@pytest.mark.parametrize("packing", ["gzip", "xz", "zstd", "bzip2"])
def test_a_file_that_becomes_far_larger_is_refused(packing, monkeypatch):
    monkeypatch.setattr(packed, "MOST_BYTES", 1 << 20)
    with pytest.raises(
        DataError, match="expected compressed text, got a file that becomes more than 1,048,576 bytes"
    ):
        read(PACKINGS[packing](b"1 2 3\n" * 1_000_000))


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"1 2\n3 \x00 4\n", r"^a\.txt line 2: expected text, got a NUL byte"),
        (b"1 2\r\n" * 5000 + b"\0", r"^a\.txt line 5001: expected text, got a NUL byte"),
        ("1 2\nn\0\n".encode("utf-16"), r"^a\.txt line 2: expected text, got a NUL byte$"),
        (b"1 2 <s> on\n3 <s> caf\xe9\n", r"^a\.txt line 2: expected text \(UTF-8\), got byte 0xe9; "),
        (b"1\n" * 9000 + b"\xff", r"^a\.txt line 9001: expected text \(UTF-8\), got byte 0xff"),
        (
            "1 2\n3\n".encode("utf-32-le") + b"\n",
            r"^a\.txt line \d: expected text \(UTF-32-LE\), got byte 0x0a; is it whole",
        ),
        (
            "1 2\n3\n".encode("utf-16")[:-1],
            r"^a\.txt line \d: expected text \(UTF-16-LE\), got byte 0x0a; is it whole",
        ),
        (b"PK\x03\x04\x00\x00", r"^a\.txt: expected text \(UTF-8\), got a zip archive; unpack it first$"),
        (b"RIFF\x24\x80\x00\x00WAVE", r"^a\.txt: expected text \(UTF-8\), got audio$"),
    ],
)
def test_what_is_no_text_is_refused_with_its_line(raw, message):
    with pytest.raises(DataError, match=message):
        read(raw)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (
            "version https://git-lfs.github.com/spec/v1\noid sha256:ab\n",
            "what Git LFS keeps in place of a large file; r",
        ),
        ("\n <!DOCTYPE html>\n<html></html>", "a web page"),
        ("<html><body>log in</body></html>", "a web page"),
    ],
)
def test_what_came_in_place_of_a_file_is_named(tmp_path, text, what):
    (tmp_path / "a").write_text(text)
    with pytest.raises(DataError, match=f"a: expected the text itself, got {what}"):
        list(text_lines(tmp_path / "a"))


def test_only_three_line_ends_are_line_ends():
    inside = "a\u2028b\u2029c\x85d\x0be\x0cf\x1cg"
    assert read(f"{inside}\n\r\nx\ry\r\n".encode()) == [inside, "", "x", "y"]


def test_marks_of_files_that_were_joined_are_no_text():
    assert read(b"\xef\xbb\xbf1\n\xef\xbb\xbf2\n") == ["1", "2"]


def test_a_line_may_have_megabytes_but_not_the_whole_memory(monkeypatch):
    assert [len(line) for line in read(b"1 " * 3_000_000 + b"\n2\n")] == [6_000_000, 1]
    monkeypatch.setattr("sp_search.files.text.LONGEST_LINE", 1000)
    with pytest.raises(DataError, match=r"^a\.txt: expected lines of up to 1,000 bytes, got a longer one"):
        read(b"1 " * 600)


def test_a_pipe_is_read_once_from_its_first_byte(tmp_path):
    fifo, lines = tmp_path / "fifo", [f"{n} {n}" for n in range(5000)]
    os.mkfifo(fifo)
    writer = threading.Thread(target=lambda: fifo.write_bytes(gzip.compress("\n".join(lines).encode(), mtime=0)))
    writer.start()
    source = open_source(fifo)
    assert source.is_text()
    assert list(lines_of(source)) == lines
    writer.join()


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda path: path.mkdir(), "Is a directory"),
        (lambda path: None, "No such file or directory"),
        (lambda path: path.symlink_to("nowhere"), "No such file or directory"),
        (lambda path: path.symlink_to(path), "Too many levels of symbolic links"),
    ],
)
def test_what_is_no_file_is_refused_in_one_line(tmp_path, make, why):
    make(tmp_path / "a")
    with pytest.raises(DataError, match=rf"a: expected a readable file, got {why}$"):
        list(text_lines(tmp_path / "a"))


@pytest.mark.parametrize("name", ["a\0b", "a" * 300])
def test_a_path_that_no_file_has_is_refused_in_one_line(tmp_path, name):
    with pytest.raises(
        DataError, match=r"expected a readable file, got (a NUL byte in the path|File name too long)$"
    ):
        list(text_lines(tmp_path / name))


@pytest.mark.parametrize(
    "raw",
    [b"", b"1 2\n", "é".encode() * 3000, gzip.compress(b"1\n", mtime=0), "1\n".encode("utf-16"), b"1 2\n3 \0\n"],
)
def test_text_is_told_by_its_first_bytes(raw):
    assert ByteSource(io.BytesIO(raw), "a").is_text()


@pytest.mark.parametrize("raw", [b"\xff\x00\x01", b"RIFF\0\0\0\0WAVE", b"\0\0\0\0", b"\7\0\0\0\x0c\0\0\0"])
def test_other_things_are_no_text(raw):
    assert not ByteSource(io.BytesIO(raw), "a").is_text()
