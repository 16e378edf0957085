"""The table that a folder of audio suggests."""

import pytest

from sp_search.errors import DataError
from sp_search.units.corpora.audio_folder import read_audio_folder, write_table
from sp_search.units.recordings import read_manifest
from tests.units.speech import write_hum


def rows(folder):
    return [
        (file.path.relative_to(folder).as_posix(), file.split, file.label) for file in read_audio_folder(folder).files
    ]


def test_folders_named_like_splits_and_labels_are_taken_at_their_word(tmp_path):
    for name in ("train/glad/a.wav", "DEV/very cross/b.wav", "test/glad/eve/c.wav"):
        write_hum(tmp_path / name)
    assert rows(tmp_path) == [
        ("DEV/very cross/b.wav", "valid", "very_cross"),
        ("test/glad/eve/c.wav", "test", "eve"),
        ("train/glad/a.wav", "train", "glad"),
    ]
    assert not read_audio_folder(tmp_path).drawn


@pytest.mark.parametrize(("count", "each"), [(3, 1), (19, 1), (40, 4)])
def test_splits_are_drawn_within_each_label_and_always_the_same(tmp_path, count, each):
    for label in ("glad", "cross"):
        for number in range(count):
            (tmp_path / label).mkdir(exist_ok=True)
            (tmp_path / label / f"{number}.wav").write_bytes(b"RIFF")
    found = rows(tmp_path)
    assert found == rows(tmp_path)
    assert read_audio_folder(tmp_path).drawn
    for label in ("glad", "cross"):
        of = [split for _, split, one in found if one == label]
        assert {split: of.count(split) for split in ("train", "valid", "test")} == {
            "train": count - 2 * each, "valid": each, "test": each,
        }  # fmt: skip


def test_a_written_table_is_read_back_from_another_folder(tmp_path):
    for name in ("train/glad/a, b.wav", "valid/cross/b.wav", "test/glad/c.wav"):
        write_hum(tmp_path / "audio" / name)
    write_table(read_audio_folder(tmp_path / "audio"), tmp_path / "my.csv")
    read = read_manifest(tmp_path / "my.csv", "")
    assert [(one.split, one.fields["label"], one.path.resolve()) for one in read] == [
        ("test", "glad", tmp_path / "audio/test/glad/c.wav"),
        ("train", "glad", tmp_path / "audio/train/glad/a, b.wav"),
        ("valid", "cross", tmp_path / "audio/valid/cross/b.wav"),
    ]


def test_a_folder_without_audio_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("none")
    with pytest.raises(DataError, match=r"expected a folder with audio \(\.wav, "):
        read_audio_folder(tmp_path)


def test_a_file_outside_of_the_splits_folders_is_refused_since_drawing_anew_would_mix_test_into_train(tmp_path):
    for name in ("train/glad/a.wav", "test/glad/b.wav", *(f"stray{number}.wav" for number in range(6))):
        write_hum(tmp_path / name)
    with pytest.raises(DataError, match=r"got 6 outside of them: stray0\.wav, .*, stray4\.wav and 1 more; move"):
        read_audio_folder(tmp_path)
