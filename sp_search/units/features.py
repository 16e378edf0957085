"""Audio in, feature frames out: log-mel energies, Kaldi's own or plain, or MFCC with deltas, 16 kHz mono.

S samples   T frames   W samples a window   M mel bands   C coefficients   D features a frame
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.fft import dct, rfft

from sp_search.errors import ConfigError, ShapeError

Floats = npt.NDArray[np.float32]

SAMPLE_RATE = 16_000
FLOOR = 1e-10
"""Added to mel energies before the logarithm: digital silence stays finite."""
PRE_EMPHASIS = 0.97
BLOCK = 4096
"""Frames computed at once, so that an hour of audio takes no more memory than a minute."""
KALDI_FLOOR = float(np.finfo(np.float32).eps)
KALDI_LOWEST_HZ = 20.0


@dataclass(frozen=True, kw_only=True)
class FeatureSettings:
    """How audio becomes frames."""

    kind: Literal["mfcc", "logmel", "fbank"]  # fbank: Kaldi's log-mel, as fairseq's quantizer has it
    mels: int  # bands, from 0 Hz to half the sample rate, 2 or more
    coefficients: int  # mfcc: cosine coefficients kept, the first being loudness, 1 <= coefficients <= mels
    window: int  # samples a frame sees, 2 or more
    hop: int  # samples from one frame to the next, 1 or more; 320 gives 50 frames a second
    falloff: (
        float  # mfcc: the coefficient whose weight is a half, 1 / (1 + c / falloff), above 0; high ones are voice
    )
    delta_reach: int  # append each feature's slope over so many frames on either side; 0 appends none
    normalise: bool  # bring each feature of an utterance to mean 0 and variance 1: voice and channel go, words stay

    def __post_init__(self) -> None:
        checks = {
            "kind": (self.kind in ("mfcc", "logmel", "fbank"), "mfcc, logmel or fbank"),
            "mels": (self.mels >= 2, "2 or more"),
            "coefficients": (1 <= self.coefficients <= self.mels, "1 <= coefficients <= mels"),
            "window": (self.window >= 2, "2 or more"),
            "hop": (self.hop >= 1, "1 or more"),
            "falloff": (self.falloff > 0, "above 0"),
            "delta_reach": (self.delta_reach >= 0, "0 or more"),
        }
        faults = [
            f"{name}: expected {want}, got {getattr(self, name)}" for name, (ok, want) in checks.items() if not ok
        ]
        if faults:
            raise ConfigError("features: " + "; ".join(faults))

    @property
    def size(self) -> int:
        """D, features a frame."""
        return (self.coefficients if self.kind == "mfcc" else self.mels) * (2 if self.delta_reach else 1)


def frames(audio: Floats, settings: FeatureSettings) -> Floats:
    """The features of one utterance.

    Args:
        audio: (S,), 16 kHz mono, full scale 1.
        settings: which features.

    Returns:
        (T, D), float32; T = 1 + (S - W) // hop.

    Raises:
        ShapeError: the audio is not one channel, or shorter than a window.
    """
    if audio.ndim != 1 or len(audio) < settings.window:
        raise ShapeError(f"audio: expected one channel of {settings.window} samples or more, got {audio.shape}")
    if settings.kind == "fbank":
        samples, energies = audio, kaldi_energies
    else:
        samples = np.append(audio[0], audio[1:] - PRE_EMPHASIS * audio[:-1])  # (S,)
        energies = log_energies
    windows = np.lib.stride_tricks.sliding_window_view(samples, settings.window)[:: settings.hop]  # (T, W)
    blocks = [energies(windows[start : start + BLOCK], settings.mels) for start in range(0, len(windows), BLOCK)]
    features = np.concatenate(blocks)  # (T, M)
    if settings.kind == "mfcc":
        features = dct(features, type=2, norm="ortho", axis=1)[:, : settings.coefficients]  # (T, C)
    if settings.delta_reach:
        features = np.concatenate([features, slopes(features, settings.delta_reach)], axis=1)
    if settings.normalise:
        features = (features - features.mean(axis=0)) / (features.std(axis=0) + 1e-5)
    if settings.kind == "mfcc":
        weights = 1 / (1 + np.arange(settings.coefficients) / settings.falloff)  # (C,)
        features = features * np.tile(weights, 2 if settings.delta_reach else 1)
    return features.astype(np.float32)


def log_energies(windows: Floats, mels: int) -> npt.NDArray[np.float64]:
    """(T, W) pre-emphasised samples to (T, M) log-mel energies."""
    width = windows.shape[1]
    power = np.abs(rfft(windows * np.hanning(width), axis=1)) ** 2  # (T, W // 2 + 1)
    return np.log(power @ mel_filters(mels, width).T + FLOOR)


def kaldi_energies(windows: Floats, mels: int) -> npt.NDArray[np.float64]:
    """(T, W) samples to (T, M), as Kaldi's `compute-fbank-feats` computes them without dither.

    Each window is freed of its mean, pre-emphasised on its own, tapered by Povey's window and padded with zeros to a
    power of 2. fairseq's quantizer gives it samples of full scale 1, not 2^15, and so does this.
    """
    width = windows.shape[1]
    centred = windows - windows.mean(axis=1, keepdims=True, dtype=np.float64)  # (T, W)
    emphasised = centred - PRE_EMPHASIS * np.concatenate([centred[:, :1], centred[:, :-1]], axis=1)
    padded = 1 << (width - 1).bit_length()
    power = np.abs(rfft(emphasised * np.hanning(width) ** 0.85, padded, axis=1)) ** 2  # (T, padded // 2 + 1)
    return np.log(np.maximum(power @ kaldi_filters(mels, padded).T, KALDI_FLOOR))


@lru_cache
def mel_filters(mels: int, window: int) -> npt.NDArray[np.float64]:
    """(M, W // 2 + 1): triangles evenly spaced on the mel scale (HTK's), each 1 at its peak."""
    top = 2595 * np.log10(1 + SAMPLE_RATE / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, mels + 2) / 2595) - 1)  # (M + 2,), Hz
    bins = np.arange(window // 2 + 1) * SAMPLE_RATE / window  # Hz
    left, centre, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    return np.maximum(0, np.minimum((bins - left) / (centre - left), (right - bins) / (right - centre)))


@lru_cache
def kaldi_filters(mels: int, window: int) -> npt.NDArray[np.float64]:
    """(M, W // 2 + 1): triangles whose sides are straight on the mel scale, from 20 Hz to half the sample rate."""
    lowest, top, bins = (
        1127 * np.log(1 + hertz / 700)
        for hertz in (KALDI_LOWEST_HZ, SAMPLE_RATE / 2, np.arange(window // 2 + 1) * SAMPLE_RATE / window)
    )
    edges = np.linspace(lowest, top, mels + 2)  # (M + 2,), mel
    left, centre, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    filters = np.maximum(0, np.minimum((bins - left) / (centre - left), (right - bins) / (right - centre)))
    filters[:, -1] = 0  # Kaldi leaves the bin at half the sample rate out
    return filters


def slopes(features: npt.NDArray[np.float64], reach: int) -> npt.NDArray[np.float64]:
    """(T, D): the least-squares slope of each feature over 2 * reach + 1 frames; ends repeat the edge frame."""
    padded = np.pad(features, ((reach, reach), (0, 0)), mode="edge")
    count = len(features)
    total = np.zeros_like(features)
    for step in range(1, reach + 1):
        total += step * (padded[reach + step :][:count] - padded[reach - step :][:count])
    return total / (2 * sum(step**2 for step in range(1, reach + 1)))
