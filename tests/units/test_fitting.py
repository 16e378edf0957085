"""Clusters of the corpus itself."""

from functools import partial

import numpy as np
import pytest

from sp_search.errors import DataError
from sp_search.units.audio import load_audio
from sp_search.units.features import frames
from sp_search.units.fitting import fitted
from tests.units.speech import FEATURES, recordings
from tests.units.test_prepare import Quiet


def fit(corpus, folder, extract=None, **change):
    sizes = {"units": 5, "utterances": 3, "frames": 60, "seed": 0, **change}
    return fitted(corpus, FEATURES, extract or partial(frames, settings=FEATURES), folder, Quiet(), **sizes)


def test_clusters_come_of_the_drawn_utterances_of_train_an_even_share_of_each(tmp_path):
    corpus, seen = recordings(tmp_path, count=16), []

    def extract(audio):
        seen.append(audio)
        return np.full((28, FEATURES.size), len(seen), np.float32) + np.arange(FEATURES.size, dtype=np.float32)

    quantizer = fit(corpus, tmp_path, extract, units=3)
    train = [load_audio(recording.path) for recording in corpus if recording.split == "train"]
    assert len(seen) == 3
    assert all(any(np.array_equal(audio, other) for other in train) for audio in seen)
    wanted = np.array([[1.0], [2.0], [3.0]]) + np.arange(FEATURES.size)
    np.testing.assert_allclose(quantizer.centroids[quantizer.centroids[:, 0].argsort()], wanted, rtol=1e-5)


def test_clusters_are_found_once_and_again_when_a_setting_or_a_file_changes(tmp_path):
    corpus = recordings(tmp_path)
    first = fit(corpus, tmp_path)

    def never(audio):
        raise AssertionError

    assert fit(corpus, tmp_path, never).fingerprint == first.fingerprint
    for change in ({"seed": 1}, {"units": 4}, {"frames": 50}):
        with pytest.raises(AssertionError):
            fit(corpus, tmp_path, never, **change)
    corpus[0].path.write_bytes(corpus[4].path.read_bytes())
    with pytest.raises(AssertionError):
        fit(corpus, tmp_path, never, utterances=4)


def test_a_file_that_cannot_be_read_is_passed_over(tmp_path):
    corpus = recordings(tmp_path)
    corpus[0].path.write_text("no audio")
    assert fit(corpus, tmp_path, utterances=4).centroids.shape == (5, FEATURES.size)


def test_fewer_frames_than_units_are_refused(tmp_path):
    with pytest.raises(DataError, match="train: expected 5 frames or more for 5 units, got 0"):
        fit([r for r in recordings(tmp_path) if r.split == "test"], tmp_path)
