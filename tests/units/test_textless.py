"""Published k-means from a server of the test's own."""

import hashlib
import re

import joblib
import numpy as np
import pytest
from safetensors.numpy import load_file
from sklearn.cluster import MiniBatchKMeans

from sp_search.cli.main import main
from sp_search.cli.settings.compose import load_settings
from sp_search.config import Settings
from sp_search.errors import CheckpointError
from sp_search.published.catalogue import ENCODERS, QUANTIZERS, PublishedFile
from sp_search.units.encoder import EncoderSettings
from sp_search.units.features import FeatureSettings
from sp_search.units.kmeans_store import load_centroids
from sp_search.units.quantizer import EncoderFeatures
from sp_search.units.textless import check_frames, encoder_of, published_encoder, published_quantizer

LOGMEL = FeatureSettings(
    kind="fbank", mels=80, coefficients=13, window=400, hop=160, falloff=8.0, delta_reach=0, normalise=False
)
HUBERT = EncoderSettings(kind="hubert", layer=6, window_s=100.0, overlap_s=10.0)


def kmeans(path, size, units=5):
    points = np.random.default_rng(0).standard_normal((60, size)).astype(np.float32)
    model = MiniBatchKMeans(units, n_init=1, random_state=0).fit(points)
    joblib.dump(model, path)
    return model


@pytest.fixture
def logmel(file_server, monkeypatch, tmp_path):
    """The model that the server has for logmel50."""
    model = kmeans(tmp_path / "km.bin", 80)
    url = file_server.put("/gslm/logmel/km50/km.bin", (tmp_path / "km.bin").read_bytes())
    monkeypatch.setitem(QUANTIZERS, "logmel50", PublishedFile(url))
    return model


def test_published_clusters_are_downloaded_and_imported_once(logmel, file_server, monkeypatch, tmp_path):
    first = published_quantizer("logmel50", LOGMEL, tmp_path / "cache")
    np.testing.assert_array_equal(first.centroids, logmel.cluster_centers_)
    digest = hashlib.sha256((tmp_path / "km.bin").read_bytes()).hexdigest()
    kept = load_file(tmp_path / "cache" / "kmeans" / f"{digest}.safetensors")
    np.testing.assert_array_equal(kept["centroids"], logmel.cluster_centers_)
    monkeypatch.delattr("sp_search.units.kmeans_file._Unpickler.find_class")
    assert published_quantizer("logmel50", LOGMEL, tmp_path / "cache").fingerprint == first.fingerprint
    assert len(file_server.asked) == 1


@pytest.mark.parametrize("damage", [b"", b"garbage"])
def test_a_damaged_entry_of_the_cache_is_made_again(tmp_path, damage):
    model = kmeans(tmp_path / "km.bin", 4)
    load_centroids(tmp_path / "km.bin", tmp_path / "cache")
    (kept,) = (tmp_path / "cache" / "kmeans").iterdir()
    kept.write_bytes(damage)
    np.testing.assert_array_equal(load_centroids(tmp_path / "km.bin", tmp_path / "cache"), model.cluster_centers_)
    np.testing.assert_array_equal(load_file(kept)["centroids"], model.cluster_centers_)


def test_clusters_of_another_kind_of_frames_are_refused(logmel, tmp_path):
    check_frames("logmel50", LOGMEL)
    hop = FeatureSettings(**{**vars(LOGMEL), "hop": 320})
    with pytest.raises(
        CheckpointError,
        match=r"^units\.quantizer: logmel50 expects frames of hop 160, got 320; for units of your own say "
        r"units\.quantizer=FILE, or units\.quantizer=null to find clusters on train$",
    ):
        check_frames("logmel50", hop)


def test_a_speech_model_of_ones_own_has_no_published_clusters(tmp_path):
    own = EncoderFeatures(settings=HUBERT, checkpoint="ab" * 32, size=768)
    with pytest.raises(
        CheckpointError, match=r"^units\.checkpoint: hubert100 expects the model of https.*hubert_base_ls960\.pt, "
        r"sha256 1703cf8d2cdc\.\.\., got abababababab\.\.\.; for units of your own say",
    ):  # fmt: skip
        published_quantizer("hubert100", own, tmp_path)


def test_a_published_speech_model_is_downloaded_once(file_server, monkeypatch, tmp_path):
    monkeypatch.setitem(ENCODERS, "hubert", PublishedFile(file_server.put("/hubert/base.pt", b"weights")))
    paths = {published_encoder(HUBERT, tmp_path) for _ in range(2)}
    assert [path.read_bytes() for path in paths] == [b"weights"]
    assert len(file_server.asked) == 1


@pytest.mark.parametrize("kind", ["hubert", "cpc", "w2v2", "mhubert25", "logmel"])
def test_without_a_network_prepare_says_what_to_download_and_where_to_put_it(tmp_path, capsys, monkeypatch, kind):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    nowhere = "http://127.0.0.1:9/gslm/file"  # the port of `discard`, where nothing listens
    files, name = (QUANTIZERS, "logmel100") if kind == "logmel" else (ENCODERS, kind)
    monkeypatch.setitem(files, name, PublishedFile(nowhere))
    (tmp_path / "corpus.csv").write_text("path,split,labels\na.wav,train,on\n")
    words = [f"corpus={tmp_path / 'corpus.csv'}", f"to={tmp_path / 'out'}", f"cache={tmp_path / 'cache'}"]
    assert main(["prepare", f"units={kind}", *words]) == 2
    place = tmp_path / "cache" / "published" / "127.0.0.1" / "gslm" / "file"
    assert re.search(
        rf"^sp-search: {nowhere}: expected a file, got no connection \(.*\); download it elsewhere and put it at "
        rf"{place}\n$",
        capsys.readouterr().err,
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["hubert", "cpc", "w2v2", "logmel"])
@pytest.mark.parametrize("count", [50, 100, 200])
def test_the_settings_of_every_kind_are_those_of_its_published_clusters(kind, count):
    units = load_settings([f"units={kind}", f"units.fit.units={count}"], Settings).units
    assert units.quantizer in {f"{kind}{count}", f"{kind}_{count}"} & set(QUANTIZERS)
    check_frames(units.quantizer, units.signal or units.encoder)


def test_the_speech_model_of_a_quantizer_is_the_one_given_else_the_published_one_if_it_is_that(
    file_server, monkeypatch, tmp_path
):
    digest = hashlib.sha256(b"weights").hexdigest()
    monkeypatch.setitem(ENCODERS, "hubert", PublishedFile(file_server.put("/hubert/base.pt", b"weights"), digest))
    of_published, of_another = (
        EncoderFeatures(settings=HUBERT, checkpoint=sha256, size=768) for sha256 in (digest, "ab" * 32)
    )
    assert encoder_of(LOGMEL, None, tmp_path) is None
    assert encoder_of(of_another, tmp_path / "mine.pt", tmp_path) == tmp_path / "mine.pt"
    assert encoder_of(of_another, None, tmp_path) is None
    assert file_server.asked == []
    assert encoder_of(of_published, None, tmp_path).read_bytes() == b"weights"


def test_the_settings_of_mhubert25_are_those_of_its_published_clusters():
    units = load_settings(["units=mhubert25"], Settings).units
    assert units.quantizer == "mhubert25"
    check_frames("mhubert25", units.encoder)
    with pytest.raises(CheckpointError, match=r"mhubert25 expects frames of layer 11, got 9"):
        check_frames("mhubert25", load_settings(["units=mhubert25", "units.encoder.layer=9"], Settings).units.encoder)


def test_a_kind_without_a_published_model_asks_for_a_folder(tmp_path):
    wavlm = load_settings(["units=wavlm"], Settings).units.encoder
    with pytest.raises(CheckpointError, match=r"units\.checkpoint: expected the folder of a wavlm model, got none"):
        published_encoder(wavlm, tmp_path)
    assert encoder_of(EncoderFeatures(settings=wavlm, checkpoint="ab" * 32, size=8), None, tmp_path) is None
