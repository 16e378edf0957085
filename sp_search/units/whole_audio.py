"""Whether an audio file is whole: libsndfile reads what is there of a cut one, and says nothing.

WAV, AIFF, AU, CAF, W64 and NIST's SPHERE tell in their header how many bytes of samples follow; the last page of Ogg
ends the stream; MP3 is frames of a known length behind each other. FLAC tells its samples, which are counted when
they are read.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

UNKNOWN_LENGTH = 0x7FFFF000
"""A length from here on, or 0, is written by programs that could not go back to the header, such as into a pipe."""
OGG_TAIL = 1 << 17
"""Bytes at the end of a file that its last page is in: a page has 65 kB at most."""
MP3_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
"""Hz by the two version bits: MPEG 1, 2, 2.5."""
MP3_KBITS_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
MP3_KBITS_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
BEGINNINGS = (b"fLaC", b"OggS", b"ID3", b".snd", b"caff", b"NIST_1A", b"riff\x2e\x91\xcf\x11")
"""How audio begins, beside RIFF/WAVE, FORM/AIFF and bare MP3 frames."""


def is_audio(path: Path) -> bool:
    """Whether a file begins like audio; False where it can't be read."""
    try:
        with path.open("rb") as file:
            return begins_as_audio(file.read(16))
    except OSError:
        return False


def begins_as_audio(head: bytes) -> bool:
    """Whether these are the first bytes of an audio file, 16 or more."""
    if head[:4] in (b"RIFF", b"RIFX", b"RF64", b"FORM"):
        return head[8:12] in (b"WAVE", b"AIFF", b"AIFC")
    return head.startswith(BEGINNINGS) or _mp3_frame(head[:4]) > 0


def cut_short(path: Path) -> str:
    """What shows that a file was cut off, in words; "" where nothing does. OSError where it can't be read."""
    state = path.stat()
    return _cut_short(path, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=64)
def _cut_short(path: Path, size: int, _: int) -> str:
    with path.open("rb") as file:
        head = file.read(12)
        file.seek(0)
        checks = [check for beginning, check in CHECKS.items() if head.startswith(beginning)]
        if not checks and _mp3_frame(head[:4]) > 0:
            checks = [_mp3]
        return checks[0](file, size) if checks else ""


def _wav(file: BinaryIO, size: int) -> str:
    head = file.read(12)
    order = ">" if head[:4] == b"RIFX" else "<"
    long = 0  # of the samples, where 32 bits are too few for it
    while len(chunk := file.read(8)) == 8:
        name, length = struct.unpack(f"{order}4sI", chunk)
        if name == b"ds64" and len(wide := file.read(16)) == 16:
            long = struct.unpack("<QQ", wide)[1]
            file.seek(length - 16, 1)
        elif name == b"data":
            unknown = length == 0 or length >= UNKNOWN_LENGTH
            return _lacking(long if length == 0xFFFFFFFF and long else 0 if unknown else length, size - file.tell())
        else:
            file.seek(length + length % 2, 1)
        if file.tell() > size:
            break
    return ""


def _aiff(file: BinaryIO, size: int) -> str:
    file.seek(12)
    while len(chunk := file.read(8)) == 8:
        name, length = struct.unpack(">4sI", chunk)
        if name == b"SSND":
            return _lacking(0 if length >= UNKNOWN_LENGTH else length, size - file.tell())
        file.seek(length + length % 2, 1)
    return ""


def _au(file: BinaryIO, size: int) -> str:
    if len(head := file.read(12)) < 12:
        return "it ends in its header"
    _, offset, length = struct.unpack(">4sII", head)
    return _lacking(0 if length >= UNKNOWN_LENGTH else length, size - offset)


def _caf(file: BinaryIO, size: int) -> str:
    file.seek(8)
    while len(chunk := file.read(12)) == 12:
        name, length = struct.unpack(">4sq", chunk)
        if name == b"data" or length < 0:
            return _lacking(length, size - file.tell())  # -1 is an unknown length
        file.seek(min(length, size), 1)
    return ""


def _w64(file: BinaryIO, size: int) -> str:
    file.seek(40)
    while len(chunk := file.read(24)) == 24:
        name, length = struct.unpack("<4s12xQ", chunk)
        if name == b"data":
            return _lacking(length - 24, size - file.tell())
        file.seek(min(max(0, length - 24) + -length % 8, size), 1)
    return ""


def _sphere(file: BinaryIO, size: int) -> str:
    head = file.read(1024)
    promised = {name: int(value) for name, value in re.findall(rb"(\w+) -i (\d+)", head)}
    names = (b"sample_count", b"channel_count", b"sample_n_bytes")
    if b"embedded" in head or not all(name in promised for name in names):  # compressed, or it does not tell
        return ""
    header = int(head[8:16].strip() or 1024) if head[8:16].strip().isdigit() else 1024
    return _lacking(math.prod(promised[name] for name in names), size - header)


def _lacking(promised: int, there: int) -> str:
    if promised <= there:
        return ""
    return f"its header tells of {promised:,} bytes of samples, and {max(0, there):,} are there"


def _ogg(file: BinaryIO, size: int) -> str:
    file.seek(max(0, size - OGG_TAIL))
    tail = file.read()
    at = tail.rfind(b"OggS")
    page = tail[at:]
    length = 27 + page[26] + sum(page[27 : 27 + page[26]]) if at >= 0 and len(page) > 26 else 0
    if not length or length > len(page):
        return "its last page is cut off"
    return "" if page[5] & 4 else "its last page does not end the stream"


def _mp3(file: BinaryIO, size: int) -> str:
    """Go from frame to frame. Where something else lies between them, nothing is said: players skip it.

    A file that was cut just between two frames shows it only where its first frame tells how many follow (Xing or
    Info). Without that, no reader can tell: libsndfile too gives the frames that are there as the file's length.
    """
    raw = file.read()
    at, frames, promised = _behind_tag(raw), 0, 0
    while at < size:
        length = _mp3_frame(raw[at : at + 4])
        if length <= 0:
            return _cut_frames(promised, frames) if not raw[at:].strip(b"\0") or _is_tag(raw, at) else ""
        if at + length > size:
            return f"its last frame has {size - at} of {length} bytes"
        if frames == 0 and not promised and (promised := _promised_frames(raw[at : at + length])):
            frames -= 1  # the frame that says so holds no sound
        at, frames = at + length, frames + 1
    return _cut_frames(promised, frames)


def _cut_frames(promised: int, frames: int) -> str:
    return f"its header tells of {promised:,} frames, and {frames:,} are there" if frames < promised else ""


def _behind_tag(raw: bytes) -> int:
    if not raw.startswith(b"ID3") or len(raw) < 10:
        return 0
    return 10 + sum((byte & 0x7F) << shift for byte, shift in zip(raw[6:10], (21, 14, 7, 0), strict=True))


def _is_tag(raw: bytes, at: int) -> bool:
    return raw.startswith((b"TAG", b"APETAGEX", b"LYRICSBEGIN", b"ID3"), at)


def _promised_frames(frame: bytes) -> int:
    """Frames of the whole file, as the first one may tell them; 0 where it does not."""
    for mark in (b"Xing", b"Info"):
        if (at := frame.find(mark, 4, 64)) > 0 and len(frame) >= at + 12 and frame[at + 7] & 1:
            return int(struct.unpack(">I", frame[at + 8 : at + 12])[0])
    return 0


CHECKS: dict[bytes, Callable[[BinaryIO, int], str]] = {
    b"RIFF": _wav,
    b"RIFX": _wav,
    b"RF64": _wav,
    b"FORM": _aiff,
    b".snd": _au,
    b"caff": _caf,
    b"riff\x2e\x91\xcf\x11": _w64,
    b"NIST_1A": _sphere,
    b"OggS": _ogg,
    b"ID3": _mp3,
}
"""What looks at a file that begins so."""


def _mp3_frame(head: bytes) -> int:
    """Bytes of the layer-III frame that begins so; 0 where none does."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0 or head[1] >> 1 & 3 != 1:
        return 0
    version, bits, rate = head[1] >> 3 & 3, head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or bits in (0, 15) or rate == 3:
        return 0
    kbits = (MP3_KBITS_1 if version == 3 else MP3_KBITS_2)[bits]
    samples = 144 if version == 3 else 72
    return samples * kbits * 1000 // MP3_RATES[version][rate] + (head[2] >> 1 & 1)
