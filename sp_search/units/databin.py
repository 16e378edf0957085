"""fairseq's binary data, read with numpy alone: `split.idx` and `split.bin` (MMIDIDX version 1), `dict.txt` beside.

The index holds a magic word, a version, the element type, the number of sequences, their sizes and byte offsets.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sp_search.errors import DataError
from sp_search.files.paths import reason
from sp_search.types import EOS, SEPARATOR, SPECIALS
from sp_search.units.dictionary import Dictionary
from sp_search.units.line_forms import Line

MAGIC = b"MMIDIDX\x00\x00"
HEADER = struct.Struct("<9sQBQ")
ELEMENTS = {
    1: np.uint8,
    2: np.int8,
    3: np.int16,
    4: np.int32,
    5: np.int64,
    6: np.float64,
    7: np.float64,
    8: np.uint16,
    9: np.uint32,
    10: np.uint64,
}


def read_sequences(index: Path) -> list[npt.NDArray[np.int64]]:
    """The id sequences of a split, as written, `</s>` included.

    Raises:
        DataError: the index or its data is no such file, or is cut off.
    """
    data = index.with_suffix(".bin")
    raw = _bytes_of(index)
    if len(raw) < HEADER.size or not raw.startswith(MAGIC):
        raise DataError(f"{index}: expected a fairseq index (MMIDIDX), got another kind of file")
    _, version, code, count = HEADER.unpack_from(raw)
    if version != 1 or code not in ELEMENTS:
        raise DataError(f"{index}: expected version 1 and a known element type, got version {version}, type {code}")
    if len(raw) < HEADER.size + 12 * count or not data.exists():
        raise DataError(
            f"{index}: expected sizes and offsets of {count} sequences, and {data.name} next to it, got a cut file"
        )
    sizes = np.frombuffer(raw, np.int32, count, HEADER.size)
    offsets = np.frombuffer(raw, np.int64, count, HEADER.size + 4 * count)
    whole = _bytes_of(data)
    values = np.frombuffer(whole, ELEMENTS[code], len(whole) // np.dtype(ELEMENTS[code]).itemsize)
    sizes, offsets = sizes.astype(np.int64), offsets.astype(np.int64)
    starts = offsets // values.itemsize
    if count and (int(sizes.min()) < 0 or int(starts.min()) < 0):
        raise DataError(f"{index}: expected sizes and offsets of 0 or more, got less; the file is damaged")
    if count and int((starts + sizes).max()) > len(values):
        raise DataError(
            f"{data}: expected {int((starts + sizes).max())} elements, got {len(values)}; the file is cut off"
        )
    return [values[start : start + size].astype(np.int64) for start, size in zip(starts, sizes, strict=True)]


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: expected a readable file, got {reason(error)}") from error


def databin_units(index: Path) -> Iterator[tuple[str, ...]]:
    """The units of every sequence of a data-bin split, labelled or not: what stands before `<s>` or `</s>`.

    Raises:
        DataError: the split can't be read, or a sequence has no units or specials inside.
    """
    own = Dictionary.load(index.parent / "dict.txt")
    for number, ids in enumerate(read_sequences(index), 1):
        ends = np.flatnonzero((ids == SEPARATOR) | (ids == EOS))
        units = ids[: ends[0]] if len(ends) else ids
        if not len(units) or (units < SPECIALS).any() or (units >= len(own)).any():
            raise DataError(
                f"{index} sequence {number}: expected units before `<s>` or `</s>`, got ids {ids[:12].tolist()}..."
            )
        yield tuple(own.symbol(int(i)) for i in units)


def read_databin(index: Path) -> list[Line]:
    """A data-bin split as lines; its answers are units, since fairseq's data is already mapped by a verbalizer.

    Raises:
        DataError: there are none, or sequences without one `<s>`, with an empty side, or with specials inside; the
            first ten are named.
    """
    own = Dictionary.load(index.parent / "dict.txt")
    found, faults = [], []
    for number, ids in enumerate(read_sequences(index), 1):
        row = ids[:-1] if len(ids) and ids[-1] == EOS else ids
        at = np.flatnonzero(row == SEPARATOR)
        rest = np.delete(row, at)
        if len(at) != 1 or at[0] in (0, len(rest)) or (rest < SPECIALS).any() or (rest >= len(own)).any():
            faults.append(f"sequence {number}: expected units, one `<s>`, units, got ids {ids[:12].tolist()}...")
            continue
        words = [own.symbol(int(i)) for i in rest]
        found.append(Line(f"{number}", tuple(words[: at[0]]), tuple(words[at[0] :])))
    if faults:
        raise DataError(f"{index}: {len(faults)} bad sequences: " + "; ".join(faults[:10]))
    if not found:
        raise DataError(f"{index}: expected at least one sequence, got none")
    return found
