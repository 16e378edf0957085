"""Clean speech in, speech as it is recorded out: in a room with margins, coloured noise and gain."""

from __future__ import annotations

import numpy as np
from scipy.fft import irfft

from sp_search.units.features import SAMPLE_RATE, Floats

COLOURS = {"white": 0.0, "pink": 0.5, "brown": 1.0}
"""By how much the amplitude falls with frequency: f ** -exponent."""
LOWEST_HZ = 30
"""Below it the spectrum stays flat: brown noise would else be all rumble."""
SNR_DB = (28.0, 48.0)
GAIN_DB = (-15.0, 0.0)
MARGIN_S = (0.02, 0.08)
PEAK = 0.9
SILENCE_S = (0.3, 0.9)


def in_a_room(speech: Floats, rng: np.random.Generator) -> Floats:
    """Add margins and noise, and set the level.

    Args:
        speech: (S,), 16 kHz.
        rng: draws margins, colour, signal-to-noise ratio and gain.

    Returns:
        (S + margins,), full scale 1, never clipped.
    """
    before, after = (int(SAMPLE_RATE * rng.uniform(*MARGIN_S)) for _ in range(2))
    padded = np.pad(speech, (before, after))
    colour = _some_colour(rng)
    ratio = 10 ** (rng.uniform(*SNR_DB) / 20)
    level = np.sqrt(np.mean(speech**2)) / ratio
    return _at_some_level(padded + level * coloured_noise(len(padded), colour, rng), rng)


def empty_room(rng: np.random.Generator) -> Floats:
    """(S,), 16 kHz: the noise alone, as long as a word, its level, colour and length drawn."""
    samples = int(SAMPLE_RATE * rng.uniform(*SILENCE_S))
    return _at_some_level(coloured_noise(samples, _some_colour(rng), rng), rng)


def coloured_noise(samples: int, exponent: float, rng: np.random.Generator) -> Floats:
    """(samples,): noise of mean square 1 whose amplitude falls as f ** -exponent."""
    count = samples // 2 + 1
    hertz = np.maximum(np.linspace(0, SAMPLE_RATE / 2, count), LOWEST_HZ)
    spectrum = (rng.standard_normal(count) + 1j * rng.standard_normal(count)) * hertz**-exponent
    noise = irfft(spectrum, samples)
    return (noise / np.sqrt(np.mean(noise**2))).astype(np.float32)


def _some_colour(rng: np.random.Generator) -> float:
    return COLOURS[str(rng.choice(list(COLOURS)))]


def _at_some_level(sound: Floats, rng: np.random.Generator) -> Floats:
    gain = PEAK * 10 ** (rng.uniform(*GAIN_DB) / 20)
    return (sound * (gain / np.abs(sound).max())).astype(np.float32)
