"""What Python code may hand over to be answered: audio files, samples, or units; one utterance or several."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sp_search.errors import DataError
from sp_search.files.paths import user_path
from sp_search.units.audio import at_16_khz
from sp_search.units.clips import Asked, asked_at
from sp_search.units.features import Floats
from sp_search.units.unit_line import unit_line

Utterance = str | os.PathLike[str] | Sequence[int | str] | npt.NDArray[np.generic]
"""The path of an audio file, a line of units (`"71 12 57"`), a sequence of units, or an array: of whole numbers these
are units, of floating-point numbers samples, (S,) or (S, channels), full scale 1, whose rate is given."""

KINDS = "the path of an audio file, a line or a sequence of units, or an array of samples with its rate"


@dataclass(frozen=True)
class Samples:
    """Audio in memory."""

    id: str
    samples: Floats  # (S,) at 16 kHz


@dataclass(frozen=True)
class UnitLine:
    """Units in memory, as a JSON line that a search takes."""

    line: str

    @classmethod
    def of(cls, name: str, units: Sequence[int | str]) -> UnitLine:
        """The line of these units."""
        return cls(unit_line(name, list(units)))


def parsed(utterance: Utterance, rate: int | None, name: str) -> Asked | Samples | UnitLine:
    """What an utterance is.

    Args:
        utterance: as a caller gives it.
        rate: of samples, Hz; None for all else.
        name: the id of an utterance that is no file.

    Raises:
        DataError: it is nothing that can be answered, or a rate is missing or too much.
    """
    if isinstance(utterance, np.ndarray) and utterance.dtype.kind == "f":
        return Samples(name, _samples(utterance, rate, name))
    if rate is not None:
        raise DataError(f"rate: expected none with {KINDS.partition(', or')[0]}, got {rate}")
    if isinstance(utterance, str) and (units := _units(utterance.split())):
        return UnitLine.of(name, units)
    if isinstance(utterance, str | os.PathLike):
        return asked_at(user_path(os.fspath(utterance), "input", DataError))
    values = utterance.tolist() if isinstance(utterance, np.ndarray) else list(utterance)
    if not (units := _units(values)):
        raise DataError(f"utterance {name}: expected {KINDS}, got {utterance!r:.60}")
    return UnitLine.of(name, units)


def _units(values: Sequence[object]) -> list[str]:
    """The values as units; [] where one is none: units are numbers, or words that no path is."""
    words = [str(value) for value in values if isinstance(value, int | np.integer | str) and type(value) is not bool]
    return words if len(words) == len(values) and all(word.isdecimal() for word in words) else []


def _samples(array: npt.NDArray[np.generic], rate: int | None, name: str) -> Floats:
    if rate is None:
        raise DataError(f"utterance {name}: expected the rate of its samples in Hz, got none; say rate=16000")
    if array.ndim not in (1, 2) or not array.size:
        raise DataError(f"utterance {name}: expected samples (S,) or (S, channels), got shape {array.shape}")
    return at_16_khz(np.asarray(array, dtype=np.float32).reshape(len(array), -1), rate, f"utterance {name}")
