"""Ways in which a file gets damaged, as functions of its bytes, for tests that nothing but a refusal comes of it."""

import random
from collections.abc import Iterator

NOT_OURS = (
    b"",
    b"hello world",
    b"PK\x03\x04",
    b"\x80\x02.",
    b"\x80\x02}q\x00.",
    b"I1\n.",
    b"\x80\x02]q\x00e.",
    b"\x1f\x8b",
)
"""Empty, text, and the beginnings and shortest forms of zip files, pickles and gzip."""


def cut_off(whole: bytes, count: int) -> Iterator[bytes]:
    """The file cut at so many places from its beginning to one byte before its end."""
    for i in range(count):
        yield whole[: (len(whole) - 1) * i // (count - 1)]


def flipped(whole: bytes, count: int) -> Iterator[bytes]:
    """The file with one bit of one byte turned over, at so many places from its beginning to its end."""
    for i in range(count):
        damaged = bytearray(whole)
        damaged[(len(whole) - 1) * i // (count - 1)] ^= 1 << (i % 8)
        yield bytes(damaged)


def garbled(whole: bytes, count: int, seed: int) -> Iterator[bytes]:
    """The file with its first stretch overwritten by noise, where torch keeps what it unpickles."""
    draw = random.Random(seed)
    for _ in range(count):
        damaged = bytearray(whole)
        for _ in range(40):
            damaged[draw.randrange(min(len(damaged), 3000))] = draw.randrange(256)
        yield bytes(damaged)
