"""The one door for text: units, labels, manifests, dictionaries, YAML, lists of paths, from a file or from stdin.

Bytes are read once, from the first to the last, so a pipe is as good as a file. Compression and encoding are told by
content. Lines end at `\\n`, `\\r\\n` and `\\r` alone: what else Unicode calls a line end may stand inside of JSON.
"""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from sp_search.errors import DataError
from sp_search.files.packed import PIECE, head_of, packing_of, unpacked
from sp_search.files.paths import reason

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

HEAD = 4096
"""Bytes that tell what a file is."""
RARE = 32
"""Characters of a text for each NUL that may be among them; the headers of audio have more NULs."""
LONGEST_LINE = 1 << 28
"""Bytes; a file without line ends must not fill the memory."""
LONGEST_BEGINNING = 32
"""Bytes that tell what came in place of a file."""
NESTED = 3
"""Compressed files in compressed files that are unpacked."""
MARKS = {
    b"\xff\xfe\x00\x00": "utf-32-le",
    b"\x00\x00\xfe\xff": "utf-32-be",
    b"\xef\xbb\xbf": "utf-8",
    b"\xff\xfe": "utf-16-le",
    b"\xfe\xff": "utf-16-be",
}
"""Byte-order marks and what they stand for; the longer come first."""
UNUSED_PLANES = "\U00040000"
"""From here on Unicode has no letters; Latin text in UTF-16, read as UTF-32, would be of these."""
KINDS = {
    b"PK\x03\x04": "a zip archive; unpack it first",
    b"RIFF": "audio",
    b"fLaC": "audio",
    b"OggS": "audio",
    b"ID3": "audio",
    b"\x80\x02": "a pickle",
    b"\x7fELF": "a program",
    b"\x89PNG": "an image",
    b"%PDF": "a PDF",
    b"PAR1": "a Parquet file",
    b"ARROW1": "an Arrow file",
    b"MMIDIDX": "a fairseq index; name it SPLIT.idx",
}
"""How files begin that are no text, and what to call them."""
INSTEAD = {
    b"version https://git-lfs": "what Git LFS keeps in place of a large file; run git lfs pull",
    b"<!doctype html": "a web page, as a log-in page that was downloaded",
    b"<html": "a web page, as a log-in page that was downloaded",
}
"""How texts begin that came in place of a file, in small letters, and what to call them."""
LINE_END = re.compile(rb"\r\n|\n|\r")


class ByteSource:
    """Bytes that come once. Their first 4 kB can be looked at before who reads them is chosen."""

    def __init__(self, stream: BinaryIO, place: str) -> None:
        """Take over a stream, which `lines_of` or `close` closes; DataError where it can't be read."""
        self.place = place
        self._stream = stream
        self.head, self._pieces = head_of(self._read(), HEAD)

    def pieces(self) -> Iterator[bytes]:
        """All bytes from the first, decompressed; to be called once. Raises as `unpacked`."""
        head, pieces = self.head, self._pieces
        for _ in range(NESTED):
            if not (packing := packing_of(head)):
                break
            head, pieces = head_of(unpacked(pieces, packing, self.place), HEAD)
        return pieces

    def is_text(self) -> bool:
        """Whether the first bytes are those of text, compressed or not; a NUL here and there is damage to text."""
        if packing_of(self.head):
            return True
        encoding, mark = encoding_of(self.head)
        try:
            text = codecs.getincrementaldecoder(encoding)().decode(self.head[mark:])
        except UnicodeDecodeError:
            return False
        return text.count("\0") <= max(1, len(text) // RARE)

    def close(self) -> None:
        """Close the stream."""
        self._stream.close()

    def _read(self) -> Iterator[bytes]:
        try:
            while piece := self._stream.read(PIECE):
                yield piece
        except (OSError, ValueError) as error:
            raise DataError(f"{self.place}: expected a readable file, got {reason(error)}") from error


def open_source(path: Path, what: str = "a readable file") -> ByteSource:
    """A file's bytes, opened this once.

    Raises:
        DataError: it can't be read; a folder can't.
    """
    try:
        stream = path.open("rb")
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: expected {what}, got {reason(error)}") from error
    return ByteSource(stream, str(path))


def text_lines(path: Path) -> Iterator[str]:
    """The lines of a text file without their ends, blank ones too; raises as `open_source` and `lines_of`."""
    return lines_of(open_source(path))


def numbered(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a text file that are not blank, with their numbers; raises as `text_lines`."""
    return ((number, line) for number, line in enumerate(text_lines(path), 1) if line.strip())


def lines_of(source: ByteSource) -> Iterator[str]:
    """The lines of a text without their ends, blank ones too: the n-th is line n of the file.

    Raises:
        DataError: the bytes are cut off or damaged, are no text, or hold a NUL; with the line where that is known.
    """
    number = 0
    try:
        head, pieces = head_of(source.pieces(), HEAD)
        encoding, mark = encoding_of(head)
        _check_kind(head, encoding, source.place)
        stream = io.BufferedReader(_Pieces(_without(pieces, mark), source.place), PIECE)
        with io.TextIOWrapper(stream, encoding, newline=None) as text:
            for line in text:
                number += 1
                if "\0" in line:
                    raise DataError(f"{source.place} line {number}: expected text, got a NUL byte")
                yield line.removesuffix("\n").removeprefix("\ufeff")  # files joined by `cat` keep their marks
    except UnicodeDecodeError as error:
        raise _not_text(error, number, source) from error
    finally:
        source.close()


def encoding_of(head: bytes) -> tuple[str, int]:
    """The encoding of a text by its first bytes, and how many of them are its mark; else UTF-8."""
    for mark, name in MARKS.items():
        if head.startswith(mark):
            return name, len(mark)
    for name in ("utf-32-le", "utf-32-be"):
        if _is_plain(head, name):
            return name, 0
    even, odd = head[0::2], head[1::2]
    for name, high, low in (("utf-16-le", odd, even), ("utf-16-be", even, odd)):
        if (
            len(head) >= 4 and b"\0" not in low and 10 * high.count(0) >= 6 * len(high)
        ):  # Latin text: every other byte
            return name, 0
    return "utf-8", 0


def _is_plain(head: bytes, encoding: str) -> bool:
    """Whether bytes decode without a fault, and to no control character and to none of the planes without any."""
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(head)
    except UnicodeDecodeError:
        return False
    return bool(text) and all(" " <= character < UNUSED_PLANES or character in "\t\n\r" for character in text)


def _check_kind(head: bytes, encoding: str, place: str) -> None:
    if encoding != "utf-8":
        return
    beginning = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:LONGEST_BEGINNING].lower()
    if instead := next((what for begins, what in INSTEAD.items() if beginning.startswith(begins)), ""):
        raise DataError(f"{place}: expected the text itself, got {instead}")
    kind = next((kind for magic, kind in KINDS.items() if head.startswith(magic)), "")
    if kind and (b"\0" in head or not head.isascii()):
        raise DataError(f"{place}: expected text (UTF-8), got {kind}")
    if (nul := head.find(b"\0")) >= 0 and _is_utf8(head[:nul]):
        line = 1 + len(LINE_END.findall(head[:nul]))
        raise DataError(f"{place} line {line}: expected text, got a NUL byte; is it another kind of file?")


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def _not_text(error: UnicodeDecodeError, number: int, source: ByteSource) -> DataError:
    line = number + 1 + len(LINE_END.findall(error.object[: error.start]))
    byte, encoding = error.object[error.start], error.encoding.upper()
    if encoding != "UTF-8":
        return DataError(
            f"{source.place} line {line}: expected text ({encoding}), got byte 0x{byte:02x}; is it whole?"
        )
    return DataError(
        f"{source.place} line {line}: expected text (UTF-8), got byte 0x{byte:02x}; is it in another encoding, or "
        f"another kind of file? iconv -f latin1 -t utf-8 makes UTF-8 of latin-1"
    )


def _without(pieces: Iterator[bytes], count: int) -> Iterator[bytes]:
    first = next(pieces, b"")
    yield first[count:]
    yield from pieces


class _Pieces(io.RawIOBase):
    """Pieces as a stream that Python's own text reader takes."""

    def __init__(self, pieces: Iterator[bytes], place: str) -> None:
        self._pieces = pieces
        self._place = place
        self._left = memoryview(b"")
        self._line = 0  # bytes since the last line end

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._measure(piece)
            self._left = memoryview(piece)
        target = memoryview(buffer).cast("B")
        count = min(len(target), len(self._left))
        target[:count], self._left = self._left[:count], self._left[count:]
        return count

    def _measure(self, piece: bytes) -> None:
        end = max(piece.rfind(b"\n"), piece.rfind(b"\r"))
        self._line = self._line + len(piece) if end < 0 else len(piece) - end - 1
        if self._line > LONGEST_LINE:
            raise DataError(f"{self._place}: expected lines of up to {LONGEST_LINE:,} bytes, got a longer one")
