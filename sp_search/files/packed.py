"""Compressed bytes in, the bytes that were compressed out, piece by piece: gzip, xz, zstd and bzip2, by content."""

from __future__ import annotations

import bz2
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from typing import Any

import zstandard

from sp_search.errors import DataError

PIECE = 1 << 16
"""Bytes that are read, and given out, at once."""
ZSTD_PIECE = 1 << 10
"""Bytes handed to zstd at once: it gives out all that they stand for, at most some 30 MiB."""
MOST_BYTES, MOST_TIMES = 4 << 30, 100
"""A file that becomes both larger than so many bytes and so many times itself is no corpus: text becomes 3 to 20."""
MOST_MEMORY = 1 << 30
"""Bytes that xz may take; its largest own setting takes 65 MiB."""
MAGIC = {
    "gzip": re.compile(rb"\x1f\x8b"),
    "xz": re.compile(rb"\xfd7zXZ\x00"),
    "zstd": re.compile(rb"\x28\xb5\x2f\xfd"),
    "bzip2": re.compile(rb"BZh[1-9](?:1AY&SY|\x17\x72\x45\x38\x50\x90)"),
}
"""How a file of each begins. Text can begin like none of them."""
DAMAGED = (zlib.error, lzma.LZMAError, zstandard.ZstdError, OSError, ValueError)
"""What the libraries raise on bytes that are not theirs."""


def packing_of(head: bytes) -> str:
    """How bytes that begin like this are compressed: gzip, xz, zstd, bzip2, or "" for not at all."""
    return next((name for name, magic in MAGIC.items() if magic.match(head)), "")


def unpacked(pieces: Iterator[bytes], packing: str, place: str) -> Iterator[bytes]:
    """Decompress pieces, as many compressed streams as come behind each other.

    Args:
        pieces: the compressed bytes.
        packing: as `packing_of` told it.
        place: file name for messages.

    Raises:
        DataError: the file is cut off or damaged, or becomes far larger than text does.
    """
    start, steps = _UNPACKERS[packing]
    taken = given = 0
    member: Any = None
    for piece in pieces:
        taken += len(piece)
        data = piece
        while data:
            if member is None:
                if not (data := data.lstrip(b"\0")):  # tapes and some programs fill the end with zeros
                    break
                member = start()
            try:
                for out in steps(member, data):
                    given += len(out)
                    _check_size(taken, given, place)
                    yield out
            except DAMAGED as error:
                raise DataError(f"{place}: expected a whole {packing} file, got a damaged one") from error
            data, member = (member.unused_data, None) if member.eof else (b"", member)
    if member is not None:
        raise DataError(f"{place}: expected a whole {packing} file, got one that is cut off; copy it again")


def head_of(pieces: Iterator[bytes], size: int) -> tuple[bytes, Iterator[bytes]]:
    """The first bytes, at least so many where there are as many, and all pieces again from the first."""
    taken: list[bytes] = []
    while sum(map(len, taken)) < size and (piece := next(pieces, None)) is not None:
        taken.append(piece)
    head = b"".join(taken)
    return head, chain([head], pieces)


def _check_size(taken: int, given: int, place: str) -> None:
    if given > MOST_BYTES and given > MOST_TIMES * taken:
        raise DataError(
            f"{place}: expected compressed text, got a file that becomes more than {MOST_BYTES:,} bytes and "
            f"{MOST_TIMES} times its size; unpack it yourself if it is what you mean"
        )


def _gzip_steps(member: Any, data: bytes) -> Iterator[bytes]:
    while True:
        out = member.decompress(data, PIECE)
        yield out
        data = member.unconsumed_tail
        if member.eof or (not data and len(out) < PIECE):
            return


def _bounded_steps(member: Any, data: bytes) -> Iterator[bytes]:
    while True:
        yield member.decompress(data, PIECE)
        data = b""
        if member.eof or member.needs_input:
            return


class _Zstd:
    """A zstd frame with the face of the standard library's: what is behind its end is kept for the next one."""

    def __init__(self) -> None:
        self._frame = zstandard.ZstdDecompressor().decompressobj()
        self.eof = False
        self.unused_data = b""

    def decompress(self, data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data), ZSTD_PIECE):
            yield self._frame.decompress(data[start : start + ZSTD_PIECE])
            if self._frame.eof:
                self.eof = True
                self.unused_data = self._frame.unused_data + data[start + ZSTD_PIECE :]
                return


def _zstd_steps(member: _Zstd, data: bytes) -> Iterator[bytes]:
    return member.decompress(data)


_UNPACKERS: dict[str, tuple[Callable[[], Any], Callable[[Any, bytes], Iterator[bytes]]]] = {
    "gzip": (lambda: zlib.decompressobj(31), _gzip_steps),
    "xz": (partial(lzma.LZMADecompressor, memlimit=MOST_MEMORY), _bounded_steps),
    "zstd": (_Zstd, _zstd_steps),
    "bzip2": (bz2.BZ2Decompressor, _bounded_steps),
}
"""By packing: what decompresses one stream, and the steps in which it takes bytes, so that memory stays small."""
