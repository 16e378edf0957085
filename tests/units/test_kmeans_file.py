"""km.bin against joblib and scikit-learn themselves, and pickles that would run something."""

import os
import pickle
import re

import joblib
import numpy as np
import pytest
from sklearn.cluster import KMeans, MiniBatchKMeans

from sp_search.errors import CheckpointError
from sp_search.units.kmeans_file import import_kmeans
from sp_search.units.kmeans_store import load_centroids
from sp_search.units.quantizer import nearest
from tests.damage import NOT_OURS, cut_off, garbled
from tests.shared import shared


def points(count=300, size=7, seed=0):
    return np.random.default_rng(seed).standard_normal((count, size)).astype(np.float32)


MODELS = {
    "mini-batch": lambda: MiniBatchKMeans(10, random_state=0, n_init=1).fit(points()),
    "in parts": lambda: (
        MiniBatchKMeans(10, random_state=0, n_init=1).partial_fit(points()).partial_fit(points(seed=1))
    ),
    "whole": lambda: KMeans(10, random_state=np.random.RandomState(0), n_init=1).fit(points().astype(np.float64)),
}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("kind", MODELS)
def test_centroids_are_those_of_the_model_that_joblib_saved(tmp_path, kind, protocol):
    model = MODELS[kind]()
    joblib.dump(model, tmp_path / "km.bin", protocol=protocol)
    found = import_kmeans(tmp_path / "km.bin")
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, model.cluster_centers_.astype(np.float32))


def test_an_array_in_columns_is_turned(tmp_path):
    model = MODELS["mini-batch"]()
    model.cluster_centers_ = np.asfortranarray(model.cluster_centers_)
    joblib.dump(model, tmp_path / "km.bin")
    np.testing.assert_array_equal(import_kmeans(tmp_path / "km.bin"), model.cluster_centers_)


@pytest.mark.filterwarnings("ignore")  # scikit-learn's, of a model of version 0.23
def test_the_published_hubert_clusters_are_read_and_predict_as_joblib_has_them():
    path = shared("data", "speech", "hubert_base_ls960_L6_km100.bin")
    model = joblib.load(path)
    found = import_kmeans(path)
    np.testing.assert_array_equal(found, model.cluster_centers_)
    frames = found[np.random.default_rng(0).integers(100, size=2000)] + points(2000, 768)
    np.testing.assert_array_equal(nearest(frames, found), model.predict(frames))


class Runs:
    """Unpickled by `pickle.load`, it makes a folder."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (self.folder,)


@pytest.mark.parametrize("save", [joblib.dump, lambda what, path: path.write_bytes(pickle.dumps(what))])
@pytest.mark.parametrize("inside", [False, True])
def test_a_pickle_that_would_run_code_is_refused_and_nothing_is_run(tmp_path, save, inside):
    evil = Runs(str(tmp_path / "made"))
    if inside:
        model = MODELS["mini-batch"]()
        model.tol = evil
        evil = model
    save(evil, tmp_path / "km.bin")
    refused = r"names posix\.mkdir, which is not on the allow-list; nothing in it was run"
    with pytest.raises(
        CheckpointError, match=refused if save is joblib.dump or not inside else "nothing in it was run"
    ):
        import_kmeans(tmp_path / "km.bin")
    assert not (tmp_path / "made").exists()


def test_a_numpy_array_of_objects_runs_nothing_either(tmp_path):
    model = MODELS["mini-batch"]()
    model.cluster_centers_ = np.array([[Runs(str(tmp_path / "made"))]], dtype=object)
    joblib.dump(model, tmp_path / "km.bin")
    with pytest.raises(CheckpointError, match="expected a k-means model"):
        import_kmeans(tmp_path / "km.bin")
    assert not (tmp_path / "made").exists()


def test_a_file_that_is_no_model_is_refused(tmp_path):
    path = tmp_path / "km.bin"
    with pytest.raises(CheckpointError, match="got No such file or directory"):
        import_kmeans(path)
    joblib.dump(MODELS["mini-batch"](), path, compress=3)
    with pytest.raises(CheckpointError, match="an uncompressed joblib file"):
        import_kmeans(path)
    joblib.dump({"cluster_centers_": points()}, path)
    with pytest.raises(CheckpointError, match=re.escape("expected a k-means model with finite cluster_centers_")):
        import_kmeans(path)


def fault_of(path):
    """What is said of a file, or "" where it is read."""
    try:
        import_kmeans(path)
    except CheckpointError as error:
        return str(error)
    return ""


def test_a_damaged_model_is_refused_or_read_never_crashes(tmp_path):
    path = tmp_path / "km.bin"
    joblib.dump(MODELS["mini-batch"](), path)
    whole = path.read_bytes()
    for damaged in (*NOT_OURS, *cut_off(whole, 60), *garbled(whole, 200, seed=0)):
        path.write_bytes(damaged)
        fault = fault_of(path)
        assert not fault or fault.startswith(f"{path}: expected a k-means model")
        assert fault or damaged not in NOT_OURS


def test_a_flipped_byte_in_the_cache_is_no_other_quantizer(tmp_path):
    joblib.dump(MODELS["mini-batch"](), tmp_path / "km.bin")
    wanted = load_centroids(tmp_path / "km.bin", tmp_path / "cache")
    (kept,) = (tmp_path / "cache" / "kmeans").iterdir()
    kept.write_bytes(kept.read_bytes()[:-1] + b"\x7f")
    np.testing.assert_array_equal(load_centroids(tmp_path / "km.bin", tmp_path / "cache"), wanted)
