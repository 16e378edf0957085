"""Audio files of every kind a corpus may hold, the broken ones too."""

import re

import numpy as np
import pytest
import soundfile

from sp_search.errors import DataError
from sp_search.units.audio import load_audio
from tests.damage import NOT_OURS, cut_off, garbled
from tests.shared import shared


def tone(rate, seconds=1.0, hertz=440.0):
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)).astype(np.float32)


def test_a_16_khz_mono_file_keeps_every_sample(tmp_path):
    samples = np.random.default_rng(0).integers(-(2**15), 2**15, 3200).astype(np.int16)
    soundfile.write(tmp_path / "a.flac", samples, 16_000)
    np.testing.assert_array_equal(load_audio(tmp_path / "a.flac"), samples.astype(np.float32) / 2**15)


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
def test_another_rate_keeps_the_tone_and_the_length(tmp_path, rate):
    soundfile.write(tmp_path / "a.wav", tone(rate), rate, subtype="FLOAT")
    audio = load_audio(tmp_path / "a.wav")
    assert audio.dtype == np.float32
    assert len(audio) == 16_000
    np.testing.assert_allclose(audio[800:-800], tone(16_000)[800:-800], atol=2e-3)


def test_44_khz_stereo_becomes_the_mean_of_its_channels(tmp_path):
    left, right = tone(44_100), tone(44_100, hertz=1000.0)
    soundfile.write(tmp_path / "a.wav", np.stack([left, right], axis=1), 44_100, subtype="FLOAT")
    wanted = (tone(16_000) + tone(16_000, hertz=1000.0)) / 2
    np.testing.assert_allclose(load_audio(tmp_path / "a.wav")[800:-800], wanted[800:-800], atol=2e-3)


def test_a_stretch_is_cut_out_of_the_whole(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(16_000, 3.0, hertz=1.0), 16_000, subtype="FLOAT")
    whole = load_audio(tmp_path / "a.wav")
    np.testing.assert_array_equal(load_audio(tmp_path / "a.wav", 0.5, 1.25), whole[8_000:28_000])
    np.testing.assert_array_equal(load_audio(tmp_path / "a.wav", 2.5), whole[40_000:])


def test_real_speech_reads_at_full_length():
    audio = load_audio(shared("data", "speech", "librispeech_6313-76958-0021.flac"))
    assert audio.shape == (soundfile.info(shared("data", "speech", "librispeech_6313-76958-0021.flac")).frames,)


def write_text(path):
    path.write_text("this is no audio at all\n" * 20)


def write_nothing(path):
    soundfile.write(path, np.zeros(0, np.float32), 16_000)


def write_nan(path):
    sound = tone(16_000)
    sound[4_000:4_003] = np.nan
    soundfile.write(path, sound, 16_000, subtype="FLOAT")


def write_folder(path):
    path.mkdir()


def write_at_one_hertz(path):
    soundfile.write(path, tone(16_000), 1)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (write_text, "expected an audio file that libsndfile reads, got: Format not recognised"),
        (write_nothing, "expected samples between 0 s and its end, got none"),
        (write_nan, "expected finite samples, got nan at 0.250 s (3 such samples)"),
        (write_at_one_hertz, "expected a rate of 1,000 to 1,000,000 Hz, got 1"),
        (write_folder, "expected an audio file that libsndfile reads, got: "),
        (lambda path: None, "expected an audio file, found no such file"),
    ],
)
def test_a_file_without_usable_audio_is_refused_by_name(tmp_path, write, message):
    write(tmp_path / "a.wav")
    with pytest.raises(DataError, match=re.escape(f"{tmp_path / 'a.wav'}: {message}")):
        load_audio(tmp_path / "a.wav")


def test_a_header_that_tells_of_terabytes_is_not_believed(tmp_path):
    soundfile.write(tmp_path / "a.flac", tone(16_000), 16_000)
    damaged = bytearray((tmp_path / "a.flac").read_bytes())
    damaged[21] |= 0x0F  # the upper bits of STREAMINFO's 36-bit count of samples
    (tmp_path / "a.flac").write_bytes(damaged)
    assert soundfile.info(tmp_path / "a.flac").frames > 2**35
    with pytest.raises(DataError, match="expected an audio file that libsndfile reads, got: "):
        load_audio(tmp_path / "a.flac")


@pytest.mark.parametrize("form", ["WAV", "FLAC", "OGG", "AIFF", "CAF"])
def test_a_damaged_file_is_refused_or_read_never_crashes(tmp_path, form):
    path = tmp_path / "a"
    soundfile.write(path, tone(16_000, 0.2), 16_000, format=form)
    whole = path.read_bytes()
    for damaged in (*NOT_OURS, *cut_off(whole, 30), *garbled(whole, 60, seed=0)):
        path.write_bytes(damaged)
        fault = fault_of(path)
        assert not fault or fault.startswith(f"{path}: expected ")
        assert fault or damaged not in NOT_OURS


def fault_of(path):
    """What is said of a file, or "" where it is read."""
    try:
        load_audio(path)
    except DataError as error:
        return str(error)
    return ""


def test_a_stretch_behind_the_end_is_refused(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(16_000), 16_000)
    with pytest.raises(DataError, match=r"expected samples between 2 s and 2\.5 s, got none"):
        load_audio(tmp_path / "a.wav", 2.0, 0.5)


@pytest.mark.parametrize(
    ("form", "subtype"),
    [
        ("WAV", "PCM_16"), ("WAV", "FLOAT"), ("WAVEX", "PCM_24"), ("RF64", "PCM_16"), ("AIFF", "PCM_16"),
        ("AU", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III"),
        ("CAF", "PCM_16"), ("W64", "PCM_16"), ("NIST", "PCM_16"),
    ],
)  # fmt: skip
def test_a_file_that_was_cut_off_is_refused_and_a_whole_one_read(tmp_path, form, subtype):
    path = tmp_path / "a"
    soundfile.write(path, tone(16_000, 2.0), 16_000, format=form, subtype=subtype)
    whole = path.read_bytes()
    assert len(load_audio(path)) == 32_000
    for share in (0.2, 0.5, 0.9, 0.995):
        (tmp_path / f"cut{share}").write_bytes(whole[: int(share * len(whole))])
        assert "expected a" in fault_of(tmp_path / f"cut{share}")


def test_what_a_cut_file_lacks_is_told(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(16_000), 16_000)
    (tmp_path / "a.wav").write_bytes((tmp_path / "a.wav").read_bytes()[:20_044])
    message = (
        "a.wav: expected a whole audio file, got one that is cut off: its header tells of 32,000 bytes of samples, "
        "and 20,000 are there"
    )
    with pytest.raises(DataError, match=re.escape(message)):
        load_audio(tmp_path / "a.wav")


@pytest.mark.parametrize("length", [0xFFFFFFFF, 0x7FFFF000 + 36])
def test_a_wave_that_was_written_into_a_pipe_tells_no_length_and_is_read(tmp_path, length):
    soundfile.write(tmp_path / "a.wav", tone(16_000), 16_000)
    raw = bytearray((tmp_path / "a.wav").read_bytes())
    raw[4:8] = raw[40:44] = length.to_bytes(4, "little")
    (tmp_path / "a.wav").write_bytes(raw)
    assert len(load_audio(tmp_path / "a.wav")) == 16_000


def test_an_mp3_without_a_header_of_its_length_is_seen_to_end_within_a_frame(tmp_path):
    soundfile.write(tmp_path / "a.mp3", tone(16_000, 2.0), 16_000)
    raw = (tmp_path / "a.mp3").read_bytes()
    bare = raw.replace(b"Xing", b"\0\0\0\0").replace(b"Info", b"\0\0\0\0")
    (tmp_path / "a.mp3").write_bytes(bare)
    assert not fault_of(tmp_path / "a.mp3")
    (tmp_path / "b.mp3").write_bytes(bare[:-50])
    assert "got one that is cut off: its last frame has " in fault_of(tmp_path / "b.mp3")


def test_an_mp3_that_was_cut_between_two_frames_lacks_samples_that_its_header_tells_of(tmp_path):
    soundfile.write(tmp_path / "a.mp3", tone(16_000, 2.0), 16_000)
    raw = (tmp_path / "a.mp3").read_bytes()
    last = raw.rfind(raw[:2])  # every frame begins with the same two bytes
    (tmp_path / "a.mp3").write_bytes(raw[:last])
    assert re.search(r"got 31,\d\d\d of 32,000 samples; it is cut off", fault_of(tmp_path / "a.mp3"))
