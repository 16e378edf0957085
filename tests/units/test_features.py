"""Features against their definitions, written out slowly."""

import dataclasses
import math

import kaldi_native_fbank as kaldi
import numpy as np
import pytest

from sp_search.errors import ConfigError, ShapeError
from sp_search.units.features import BLOCK, FeatureSettings, frames, mel_filters, slopes

PLAIN = FeatureSettings(
    kind="logmel", mels=8, coefficients=5, window=64, hop=20, falloff=8.0, delta_reach=0, normalise=False
)


def audio(samples=300, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, samples).astype(np.float32)


def slow_logmel(sound, settings):
    """Frame by frame, frequency by frequency."""
    emphasised = [float(sound[0])] + [float(sound[i]) - 0.97 * float(sound[i - 1]) for i in range(1, len(sound))]
    width = settings.window
    rows = []
    for start in range(0, len(sound) - width + 1, settings.hop):
        taper = [0.5 - 0.5 * math.cos(2 * math.pi * n / (width - 1)) for n in range(width)]
        compiled_piece = [emphasised[start + n] * taper[n] for n in range(width)]
        power = []
        for k in range(width // 2 + 1):
            turn = [
                compiled_piece[n]
                * complex(math.cos(2 * math.pi * k * n / width), math.sin(2 * math.pi * k * n / width))
                for n in range(width)
            ]
            power.append(abs(sum(turn)) ** 2)
        rows.append(
            [
                math.log(sum(w * p for w, p in zip(band, power, strict=True)) + 1e-10)
                for band in mel_filters(settings.mels, width)
            ]
        )
    return np.array(rows)


def slow_mfcc(logmel, coefficients):
    count = logmel.shape[1]
    rows = [
        [
            sum(row[m] * math.cos(math.pi * c * (m + 0.5) / count) for m in range(count))
            * math.sqrt((1 if c == 0 else 2) / count)
            for c in range(coefficients)
        ]
        for row in logmel
    ]
    return np.array(rows)


def test_log_mel_is_the_log_of_what_each_band_holds():
    np.testing.assert_allclose(frames(audio(), PLAIN), slow_logmel(audio(), PLAIN), rtol=1e-4, atol=1e-4)


def test_mfcc_is_the_cosine_transform_of_log_mel_with_high_coefficients_weighed_down():
    settings = dataclasses.replace(PLAIN, kind="mfcc", falloff=2.0)
    wanted = slow_mfcc(slow_logmel(audio(), PLAIN), 5) * [1, 2 / 3, 1 / 2, 2 / 5, 1 / 3]
    np.testing.assert_allclose(frames(audio(), settings), wanted, rtol=1e-4, atol=1e-4)


def test_a_slope_is_that_of_the_least_squares_line_through_its_neighbours():
    features = np.random.default_rng(1).standard_normal((9, 2))
    wanted = [np.polyfit(range(-3, 4), features[t - 3 : t + 4], 1)[0] for t in range(3, 6)]
    np.testing.assert_allclose(slopes(features, 3)[3:6], wanted, atol=1e-12)


def test_slopes_come_behind_the_features_they_are_of():
    both = frames(audio(), dataclasses.replace(PLAIN, delta_reach=2))
    alone = frames(audio(), PLAIN)
    np.testing.assert_allclose(both[:, :8], alone, rtol=1e-6)
    np.testing.assert_allclose(both[:, 8:], slopes(alone.astype(np.float64), 2), rtol=1e-3, atol=1e-4)


def test_normalised_features_do_not_tell_how_loud_an_utterance_is():
    settings = dataclasses.replace(PLAIN, kind="mfcc", delta_reach=2, normalise=True)
    np.testing.assert_allclose(frames(audio(), settings), frames(0.1 * audio(), settings), atol=1e-3)


@pytest.mark.parametrize(("samples", "count"), [(64, 1), (83, 1), (84, 2), (300, 12)])
def test_there_is_a_frame_for_every_whole_window(samples, count):
    settings = dataclasses.replace(PLAIN, delta_reach=3)
    assert frames(audio(samples), settings).shape == (count, settings.size)


@pytest.mark.parametrize("sound", [audio(63), np.zeros((300, 2), np.float32)])
def test_audio_too_short_or_of_two_channels_is_refused(sound):
    with pytest.raises(ShapeError, match="audio: expected one channel of 64 samples or more, got"):
        frames(sound, PLAIN)


def test_digital_silence_has_finite_features():
    assert np.isfinite(frames(np.zeros(300, np.float32), dataclasses.replace(PLAIN, normalise=True))).all()


def test_all_faults_of_the_settings_are_told_at_once():
    with pytest.raises(
        ConfigError, match=r"kind: expected mfcc, logmel or fbank, got plp; hop: expected 1 or more, got 0"
    ):
        dataclasses.replace(PLAIN, kind="plp", hop=0)


def kaldis_fbank(sound):
    """Kaldi's filter bank, with the defaults of torchaudio's port of it, which fairseq's quantizer calls."""
    options = kaldi.FbankOptions()
    options.frame_opts.samp_freq, options.frame_opts.dither, options.frame_opts.window_type = 16_000, 0.0, "povey"
    options.mel_opts.num_bins, options.mel_opts.low_freq, options.mel_opts.high_freq = 80, 20.0, 0.0
    options.energy_floor, options.use_energy = 1.0, False
    computed = kaldi.OnlineFbank(options)
    computed.accept_waveform(16_000, sound)
    computed.input_finished()
    return np.stack([computed.get_frame(i) for i in range(computed.num_frames_ready)])


@pytest.mark.parametrize("seconds", [0.025, 1.0, 2.345])
def test_fbank_is_what_fairseqs_quantizer_takes_from_kaldi(seconds):
    sound = audio(int(16_000 * seconds)) * np.linspace(0, 1, int(16_000 * seconds), dtype=np.float32)
    settings = dataclasses.replace(PLAIN, kind="fbank", mels=80, window=400, hop=160)
    np.testing.assert_allclose(frames(sound, settings), kaldis_fbank(sound), rtol=1e-4, atol=1e-4)


def test_silence_has_kaldis_floor_as_its_energy():
    settings = dataclasses.replace(PLAIN, kind="fbank", window=400, hop=160)
    np.testing.assert_allclose(frames(np.zeros(400, np.float32), settings), math.log(2**-23), rtol=1e-6)


@pytest.mark.parametrize("kind", ["logmel", "fbank"])
def test_a_long_file_has_the_frames_that_its_pieces_have(kind):
    settings = dataclasses.replace(PLAIN, kind=kind)
    sound = audio(20 * (BLOCK + 99) + 64)
    whole = frames(sound, settings)
    tail = frames(sound[20 * (BLOCK - 50) :], settings)
    assert len(whole) == BLOCK + 100
    np.testing.assert_allclose(whole[BLOCK - 49 :], tail[1:], rtol=1e-5, atol=1e-5)
