"""An audio file in, 16 kHz mono samples out: any rate, any channel count, any format that libsndfile reads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from sp_search.errors import DataError
from sp_search.files.paths import reason
from sp_search.units.features import SAMPLE_RATE, Floats
from sp_search.units.whole_audio import cut_short

BLOCK = 1 << 20
"""Samples read at once: a damaged header may tell of terabytes."""
UNKNOWN_FRAMES = 1 << 62
"""libsndfile's number, or more, for a file that does not tell its length."""
LOWEST_RATE, HIGHEST_RATE = 1_000, 1_000_000
"""Hz; at a rate that a damaged header tells, a second may become hours."""


@dataclass(frozen=True)
class AudioHead:
    """What an audio file tells of itself before its samples are decoded."""

    rate: int  # Hz
    channels: int
    duration_s: float | None  # None where the file does not tell its length


def read_head(path: Path) -> AudioHead:
    """The head of a file, and whether the file is cut off; no sample is decoded.

    Raises:
        DataError: as `load_audio`, but for what only the samples show.
    """
    with _opened(path) as file:
        frames = None if file.frames >= UNKNOWN_FRAMES else file.frames
        if frames == 0:
            raise DataError(f"{path}: expected samples, got none")
        return AudioHead(file.samplerate, file.channels, None if frames is None else frames / file.samplerate)


def load_audio(path: Path, start_s: float = 0.0, duration_s: float | None = None) -> Floats:
    """Read a file or a stretch of it.

    Args:
        path: the file.
        start_s: where the stretch begins, seconds.
        duration_s: how long it is, seconds; None reads to the end.

    Returns:
        (S,), full scale 1, channels averaged. A file of that rate is not resampled, so its samples stay as they are.

    Raises:
        DataError: it can't be read, is cut off, has no samples in the stretch, holds NaN or infinite samples, or
            tells of a rate that no audio has.
    """
    samples, rate = _read(path, start_s, duration_s)  # (S, channels)
    if not len(samples):
        end = "its end" if duration_s is None else f"{start_s + duration_s:g} s"
        raise DataError(f"{path}: expected samples between {start_s:g} s and {end}, got none")
    return at_16_khz(samples, rate, str(path), start_s)


def at_16_khz(samples: Floats, rate: int, place: str, start_s: float = 0.0) -> Floats:
    """Samples of any rate and channel count, as an encoder hears them.

    Args:
        samples: (S, channels), full scale 1, one sample or more.
        rate: of these samples, Hz.
        place: where they are from, for the message.
        start_s: where they begin in it, seconds.

    Returns:
        (S',), channels averaged; of 16 kHz they stay as they are.

    Raises:
        DataError: a sample is NaN or infinite, or the rate is one that no audio has.
    """
    check_rate(rate, place)
    mono = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1, dtype=np.float64).astype(np.float32)
    broken = np.flatnonzero(~np.isfinite(mono))
    if len(broken):
        raise DataError(
            f"{place}: expected finite samples, got {mono[broken[0]]} at {start_s + broken[0] / rate:.3f} s "
            f"({len(broken)} such samples)"
        )
    return mono if rate == SAMPLE_RATE else soxr.resample(mono, rate, SAMPLE_RATE, quality="HQ")


def check_rate(rate: int, place: str) -> None:
    """Refuse a rate that no audio has.

    Raises:
        DataError: it is outside of 1 kHz to 1 MHz.
    """
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise DataError(f"{place}: expected a rate of {LOWEST_RATE:,} to {HIGHEST_RATE:,} Hz, got {rate:,}")


def _read(path: Path, start_s: float, duration_s: float | None) -> tuple[Floats, int]:
    """(S, channels) and the rate; only the stretch is decoded."""
    with _opened(path) as file:
        file.seek(min(round(start_s * file.samplerate), file.frames))
        left = file.frames if duration_s is None else round(duration_s * file.samplerate)
        there = file.frames - file.tell() if file.frames < UNKNOWN_FRAMES else 0
        blocks = [np.zeros((0, file.channels), np.float32)]
        wanted = min(left, there)
        while left and len(block := file.read(min(left, BLOCK), dtype="float32", always_2d=True)):
            blocks.append(block)
            left -= len(block)
        if (got := sum(map(len, blocks))) < wanted:
            raise DataError(f"{path}: expected a whole audio file, got {got:,} of {wanted:,} samples; it is cut off")
        return np.concatenate(blocks), file.samplerate


@contextmanager
def _opened(path: Path) -> Iterator[soundfile.SoundFile]:
    """The file, with every way in which it can't be read as a DataError; looked at for a cut end last."""
    try:
        with soundfile.SoundFile(os.fsencode(path)) as file:
            check_rate(file.samplerate, str(path))
            yield file
            if why := cut_short(path):
                raise DataError(f"{path}: expected a whole audio file, got one that is cut off: {why}")
    except soundfile.LibsndfileError as error:
        if not path.exists():
            raise DataError(f"{path}: expected an audio file, found no such file") from error
        raise DataError(
            f"{path}: expected an audio file that libsndfile reads, got: {error.error_string.rstrip('.')}"
        ) from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: expected a readable audio file, got {reason(error)}") from error
