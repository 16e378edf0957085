"""The quantizer against scikit-learn, and its file."""

import dataclasses

import numpy as np
import pytest
from safetensors.numpy import save_file
from sklearn.cluster import KMeans

from sp_search.errors import CheckpointError, ShapeError
from sp_search.units.features import FeatureSettings
from sp_search.units.quantizer import Quantizer, fit_quantizer, nearest, reduce_runs

FEATURES = FeatureSettings(
    kind="mfcc", mels=8, coefficients=4, window=64, hop=20, falloff=8.0, delta_reach=2, normalise=True
)


def points(count=200, size=8, seed=0):
    return np.random.default_rng(seed).standard_normal((count, size)).astype(np.float32)


def quantizer():
    return Quantizer(FEATURES, points(10, 8, seed=1))


def test_the_nearest_centroid_is_the_one_scikit_learn_predicts():
    model = KMeans(12, n_init=1, random_state=0).fit(points())
    fresh = points(500, seed=2)
    np.testing.assert_array_equal(nearest(fresh, model.cluster_centers_), model.predict(fresh))


def test_fitting_under_one_seed_gives_the_same_centroids_again():
    first, second = (fit_quantizer(FEATURES, points(), 6, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first.centroids, second.centroids)
    assert first.centroids.shape == (6, 8)


@pytest.mark.parametrize(
    ("units", "reduced"), [([7, 7, 7, 3], [7, 3]), ([7, 3, 3, 7], [7, 3, 7]), ([5], [5]), ([], [])]
)
def test_runs_are_collapsed(units, reduced):
    assert reduce_runs(np.array(units, dtype=np.int64)).tolist() == reduced


def test_no_unit_of_an_utterance_follows_itself():
    units = quantizer().units(np.random.default_rng(0).uniform(-1, 1, 4000).astype(np.float32))
    assert len(units) > 50
    assert (units[1:] != units[:-1]).all()


def test_a_quantizer_read_back_gives_the_same_units(tmp_path):
    sound = np.random.default_rng(0).uniform(-1, 1, 4000).astype(np.float32)
    quantizer().save(tmp_path / "quantizer.safetensors")
    again = Quantizer.load(tmp_path / "quantizer.safetensors")
    assert again.features == FEATURES
    np.testing.assert_array_equal(again.units(sound), quantizer().units(sound))


def test_centroids_of_other_features_are_refused():
    with pytest.raises(ShapeError, match=r"expected \(units, 4\) for these features, got \(10, 8\)"):
        dataclasses.replace(quantizer(), features=dataclasses.replace(FEATURES, delta_reach=0))


def test_a_file_that_is_no_quantizer_is_refused_by_name(tmp_path):
    absent, text, bare = (tmp_path / name for name in ("absent", "text", "bare"))
    text.write_text("units")
    save_file({"centroids": points(10)}, str(bare))
    with pytest.raises(CheckpointError, match="absent: expected a quantizer, found no such file"):
        Quantizer.load(absent)
    for path in (text, bare):
        with pytest.raises(CheckpointError, match=f"{path.name}: expected centroids with their features' settings"):
            Quantizer.load(path)
