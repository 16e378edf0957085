"""What a corpus shows before a sample of it is decoded."""

import numpy as np
import pytest
import soundfile

from sp_search.errors import DataError
from sp_search.units.audio import load_audio, read_head
from sp_search.units.corpora.survey import Lengths, survey
from sp_search.units.recordings import Recording
from tests.damage import NOT_OURS, cut_off
from tests.units.speech import write_hum


def recording(path, split="train", **more):
    return Recording(id=path.name, split=split, path=path, labels=("a",), **more)


def test_splits_have_their_lengths_and_files_their_rates_and_channels(tmp_path):
    for number, seconds in enumerate((0.2, 0.3, 0.7)):
        write_hum(tmp_path / f"{number}.wav", seconds)
    soundfile.write(tmp_path / "cd.wav", np.zeros((44_100, 2)), 44_100)
    found = survey(
        [
            *(recording(tmp_path / f"{number}.wav") for number in range(3)),
            recording(tmp_path / "cd.wav", "valid", start_s=0.25),
            recording(tmp_path / "cd.wav", "valid", duration_s=0.5),
        ]
    )
    assert found.splits["train"] == Lengths(3, pytest.approx(1.2), 0.2, 0.3, 0.7)
    assert found.splits["valid"] == Lengths(2, 1.25, 0.5, 0.625, 0.75)
    assert found.splits["test"] == Lengths(0, 0.0, 0.0, 0.0, 0.0)
    assert found.files == {(16_000, 1): 3, (44_100, 2): 1}
    assert (found.faults, found.in_two_splits, found.speakers_heard) == ((), (), ())


def test_what_can_not_be_read_is_named_with_its_line_and_left_out(tmp_path):
    whole = write_hum(tmp_path / "whole.wav", 0.3)
    (tmp_path / "cut.wav").write_bytes(whole.read_bytes()[:-1000])
    (tmp_path / "text.wav").write_text("this is text")
    found = survey(
        [
            recording(whole, line=2),
            recording(tmp_path / "cut.wav", line=3),
            recording(tmp_path / "text.wav", line=4),
            recording(tmp_path / "absent.wav", line=5),
            recording(whole, line=6, start_s=9.0),
            recording(tmp_path / "gone.wav"),
        ]
    )
    assert [one.line for one in found.recordings] == [2]
    cut, *others = found.faults
    assert cut.startswith(f"line 3: {tmp_path}/cut.wav: expected a whole audio file, got one that is cut off: ")
    assert others == [
        f"line 4: {tmp_path}/text.wav: expected an audio file that libsndfile reads, got: Format not recognised",
        f"line 5: {tmp_path}/absent.wav: expected an audio file, found no such file",
        f"line 6: {whole}: expected samples from 9 s on, got a file of 0.3 s",
        f"gone.wav: {tmp_path}/gone.wav: expected an audio file, found no such file",
    ]


def test_a_file_or_a_speaker_of_training_that_is_tested_as_well_is_named(tmp_path):
    one, two, three = (write_hum(tmp_path / f"{number}.wav") for number in range(3))
    found = survey(
        [
            recording(one, fields={"speaker": "eve"}),
            recording(two, "valid", fields={"speaker": "bob"}),
            recording(one, "test", fields={"speaker": "eve"}),
            recording(three, "test", fields={"speaker": None}),
        ]
    )
    assert found.in_two_splits == (one,)
    assert found.speakers_heard == ("eve",)


@pytest.mark.parametrize("ending", ["wav", "flac", "ogg", "aiff", "au", "caf", "w64", "mp3"])
def test_the_head_of_a_file_tells_the_length_that_its_samples_have(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.1, 0.1, 22_050), 22_050)
    head = read_head(path)
    assert (head.rate, head.channels) == (22_050, 1)
    assert head.duration_s == pytest.approx(len(load_audio(path)) / 16_000, abs=0.01)


def test_a_file_without_samples_and_one_that_is_cut_anywhere_have_no_head(tmp_path):
    path = write_hum(tmp_path / "a.wav", 0.2)
    whole = path.read_bytes()
    for damaged in (*NOT_OURS, *cut_off(whole, 30)):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"^.*/a\.wav: expected "):
            read_head(path)
    soundfile.write(path, np.zeros(0, np.float32), 16_000)
    with pytest.raises(DataError, match=r"/a\.wav: expected samples, got none$"):
        read_head(path)
