"""What is taken for audio, and what for a text of unit lines."""

import gzip
import json
import os
import re
import threading

import pytest
import soundfile

from sp_search.errors import CheckpointError, DataError
from sp_search.units.audio import load_audio
from sp_search.units.clips import asked_at, listed_clips, unit_lines
from sp_search.units.encoder import EncoderSettings
from sp_search.units.quantizer import EncoderFeatures, Quantizer
from sp_search.units.recordings import Recording
from tests.units.speech import hum, quantizer, unitizer_recipe, write_hum


def named(clips):
    return [(clip.id, clip.path) for clip in clips]


@pytest.mark.parametrize("name", ["clip.wav", "clip", "clip.txt"])
def test_a_file_of_audio_is_a_clip_whatever_its_name(tmp_path, name):
    path = write_hum(tmp_path / "a.wav").rename(tmp_path / name)
    assert named(asked_at(path).clips) == [(name, path)]


@pytest.mark.parametrize("form", ["FLAC", "OGG", "MP3", "AIFF"])
def test_compressed_audio_is_a_clip_too(tmp_path, form):
    soundfile.write(tmp_path / "a", hum(0.5), 16_000, format=form)
    assert named(asked_at(tmp_path / "a").clips) == [("a", tmp_path / "a")]


@pytest.mark.parametrize("content", [b"", b"1 2 3\n", "é".encode() * 3000, gzip.compress(b"1 2 3\n", mtime=0)])
def test_text_and_gzipped_text_are_no_clip(tmp_path, content):
    (tmp_path / "a.wav").write_bytes(content)
    assert asked_at(tmp_path / "a.wav").clips == []


def test_a_folder_is_its_audio_and_that_of_folders_in_it(tmp_path):
    for name in ("b/c.wav", "a.FLAC", "b/a.mp3"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "README.md").touch()
    (tmp_path / "b" / "cover.jpg").touch()
    assert named(asked_at(tmp_path).clips) == [(name, tmp_path / name) for name in ("a.FLAC", "b/a.mp3", "b/c.wav")]


def test_a_folder_without_audio_is_refused(tmp_path):
    (tmp_path / "test.txt").write_text("1 2 3\n")
    place = re.escape(str(tmp_path))
    with pytest.raises(DataError, match=rf"^{place}: expected a folder with audio \(\.wav, .*\), found none in it$"):
        asked_at(tmp_path)


def test_a_text_lists_clips_seen_from_its_folder(tmp_path):
    (tmp_path / "odd name").touch()
    for text in ("a.wav\n\n /far/b.flac \nodd name\n", "odd name\na.wav\n"):
        lines = [line.strip() for line in text.split("\n") if line]
        assert named(listed_clips(text.split("\n"), tmp_path)) == [(line, tmp_path / line) for line in lines]


@pytest.mark.parametrize(
    "text", ["", "\n", "1 2 3\n", "a.wav|1 2 3|on\n", '{"id": "a.wav", "units": "1"}', "1 2 3 <s> on\n", "1 " * 9000]
)
def test_a_text_of_unit_lines_lists_no_clip(tmp_path, text):
    assert listed_clips(text.split("\n"), tmp_path) == []


def test_a_clip_has_the_units_that_its_file_has_and_a_bad_one_is_told_at_the_end(tmp_path):
    good = [write_hum(tmp_path / f"{i}.wav", seed=i) for i in range(20)]
    (tmp_path / "bad.wav").write_bytes(b"\xff\x00")
    clips = [Recording(id=path.name, split="", path=path, labels=()) for path in (tmp_path / "bad.wav", *good)]
    found = unit_lines(unitizer_recipe(), clips, "here")
    first, second = ([json.loads(line) for line in next(found)] for _ in range(2))
    assert (len(first), len(second)) == (15, 5)
    with pytest.raises(
        DataError,
        match=r"^here: 1 of 21 audio files can't be read: .*bad\.wav: expected an audio file that libsndfile",
    ):
        next(found)
    wanted = [{"id": path.name, "units": quantizer().units(load_audio(path)).tolist()} for path in good]
    assert first + second == wanted


def test_a_speech_model_that_is_not_at_hand_is_asked_for():
    settings = EncoderSettings(kind="hubert", layer=1, window_s=1.0, overlap_s=0.0)
    features = EncoderFeatures(settings=settings, checkpoint="ab" * 32, size=8)
    other = unitizer_recipe(quantizer=Quantizer(features, quantizer().centroids))
    with pytest.raises(
        CheckpointError,
        match=r"^units\.checkpoint: expected the hubert model of sha256 abababababab\.\.\., got none; name its file "
        r"with units\.checkpoint=PATH$",
    ):
        next(unit_lines(other, [], "here"))


def test_a_folder_is_looked_through_by_content_and_what_is_no_audio_is_named(tmp_path):
    write_hum(tmp_path / "a.wav").rename(tmp_path / "a.audio")
    soundfile.write(tmp_path / "b", hum(0.5), 16_000, format="MP3")
    (tmp_path / "notes.txt").write_text("1 2\n")
    (tmp_path / "gone.wav").symlink_to("nowhere.wav")
    asked = asked_at(tmp_path)
    assert [clip.id for clip in asked.clips] == ["a.audio", "b"]
    assert asked.passed_over == ["gone.wav", "notes.txt"]


def test_links_to_folders_are_followed_and_one_that_leads_back_ends(tmp_path):
    write_hum(tmp_path / "far" / "a.wav")
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "linked").symlink_to(tmp_path / "far")
    (tmp_path / "far" / "back").symlink_to(tmp_path / "here")
    assert [clip.id for clip in asked_at(tmp_path / "here").clips] == ["linked/a.wav"]


def test_a_name_that_is_no_utf8_is_shown_escaped(tmp_path):
    path = write_hum(tmp_path / "a.wav")
    path.rename(tmp_path / os.fsdecode(b"caf\xe9.wav"))
    (clip,) = asked_at(tmp_path).clips
    assert clip.id == r"caf\xe9.wav"
    assert len(load_audio(clip.path)) > 0


def through_pipe(folder, content):
    os.mkfifo(folder / "fifo")
    threading.Thread(target=lambda: (folder / "fifo").write_bytes(content), daemon=True).start()
    return folder / "fifo"


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzipped"])
def test_a_pipe_gives_all_its_lines(tmp_path, pack):
    lines = [f"{n} 2 3" for n in range(3000)]
    assert asked_at(through_pipe(tmp_path, pack("\n".join(lines).encode()))).lines == lines


def test_a_pipe_may_list_audio_but_not_be_it(tmp_path):
    path = write_hum(tmp_path / "a.wav")
    assert named(asked_at(through_pipe(tmp_path, b"a.wav\n")).clips) == [("a.wav", path)]
    (tmp_path / "fifo").unlink()
    with pytest.raises(DataError, match=r"fifo: expected lines of units or of paths through a pipe, got audio; name"):
        asked_at(through_pipe(tmp_path, path.read_bytes()))


@pytest.mark.parametrize(("line", "message"), [("~nouser9/a.wav", "there is no user nouser9"), ("a" * 300, "255 by")])
def test_a_listed_path_that_no_file_can_have_is_refused_with_its_line(tmp_path, line, message):
    with pytest.raises(DataError, match=f"^list line 3: expected .*{message}"):
        listed_clips(["a.wav", "", line], tmp_path, "list")


@pytest.mark.parametrize("name", ["nowhere", "a" * 300])
def test_nothing_to_answer_is_refused_in_one_line(tmp_path, name):
    with pytest.raises(DataError, match=r"expected (unit lines or audio|a path that can be looked at), got "):
        asked_at(tmp_path / name)


def test_a_name_that_is_no_utf_8_is_shown_the_same_in_a_folder_and_by_a_pattern(tmp_path):
    (tmp_path / os.fsdecode(b"caf\xe9.wav")).touch()
    ids = [[clip.id for clip in asked_at(place).clips] for place in (tmp_path, tmp_path / "*.wav")]
    assert ids == [["caf\\xe9.wav"]] * 2
