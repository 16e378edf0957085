"""Frames and units against fairseq's own readers and scikit-learn's predict, on models with random weights."""

import dataclasses
import gzip
import hashlib
import json
from argparse import Namespace
from types import SimpleNamespace

import joblib
import numpy as np
import pytest
import soundfile
import torch
from fairseq.data.dictionary import Dictionary
from fairseq.examples.textless_nlp.gslm.speech2unit.pretrained import cpc_feature_reader as cpc
from fairseq.examples.textless_nlp.gslm.speech2unit.pretrained.hubert_feature_reader import HubertFeatureReader
from fairseq.examples.textless_nlp.gslm.speech2unit.pretrained.w2v2_feature_reader import Wav2VecFeatureReader
from fairseq.models.hubert.hubert import HubertConfig, HubertModel
from fairseq.models.wav2vec.wav2vec2 import Wav2Vec2Config, Wav2Vec2Model
from fairseq.tasks.hubert_pretraining import HubertPretrainingConfig
from sklearn.cluster import MiniBatchKMeans

from sp_search.cli.main import main
from sp_search.errors import CheckpointError, ShapeError
from sp_search.published.catalogue import ENCODERS, QUANTIZERS, PublishedFile
from sp_search.units.audio import load_audio
from sp_search.units.clips import asked_at, unit_lines
from sp_search.units.encoder import Encoder, EncoderSettings
from sp_search.units.kmeans_file import import_kmeans
from sp_search.units.prepare import quantizer_in
from sp_search.units.quantizer import Quantizer, nearest
from sp_search.units.textless import encoder_of
from sp_search.units.unitizer import UnitizerRecipe
from tests.shared import shared
from tests.units.speech import hum

TINY = dict(encoder_layers=3, encoder_embed_dim=32, encoder_ffn_embed_dim=64, encoder_attention_heads=4)
TINY["conv_feature_layers"] = "[(48,10,5)] + [(48,3,2)] * 4 + [(48,2,2)] * 2"
SPEECH = ("data", "speech", "librispeech_6313-76958-0021.flac")

pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm")


def settings(kind, layer, window_s=100.0, overlap_s=10.0):
    return EncoderSettings(kind=kind, layer=layer, window_s=window_s, overlap_s=overlap_s)


def write(path, audio):
    soundfile.write(path, audio, 16_000, subtype="FLOAT")
    return path


def hubert(seed=0, **shape):
    torch.manual_seed(seed)
    return HubertModel(HubertConfig(label_rate=50, **shape), HubertPretrainingConfig(), [Dictionary()])


def save_hubert(path, model, config, normalize=False):
    cfg = {"model": dataclasses.asdict(config), "task": {"normalize": normalize, "sample_rate": 16_000}}
    task_state = {"dictionaries": [Dictionary()]}
    torch.save({"args": None, "cfg": cfg, "model": model.state_dict(), "task_state": task_state}, path)


def hubert_reader(model, layer, normalize=False):
    reader = HubertFeatureReader.__new__(HubertFeatureReader)  # its own loader wants a task with data
    reader.model, reader.layer, reader.max_chunk, reader.use_cuda = model.eval(), layer, 1_600_000, False
    reader.task = SimpleNamespace(cfg=SimpleNamespace(sample_rate=16_000, normalize=normalize))
    return reader


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("seconds", [0.025, 1.0, 2.39])
def test_hubert_gives_the_frames_of_fairseqs_reader(tmp_path, normalize, seconds):
    model = hubert(**TINY)
    save_hubert(tmp_path / "h.pt", model, HubertConfig(label_rate=50, **TINY), normalize)
    wanted = hubert_reader(model, 2, normalize).get_feats(str(write(tmp_path / "a.wav", hum(seconds))))
    found = Encoder(settings("hubert", 2), tmp_path / "h.pt", "cpu")(hum(seconds))
    np.testing.assert_array_equal(found, wanted.numpy())


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")  # scikit-learn's, of a model of version 0.23
def test_hubert_base_layer_6_and_the_published_clusters_give_fairseqs_units(tmp_path):
    """Real shapes and real speech; the weights are random, for the published ones can't be had here."""
    model = hubert()
    save_hubert(tmp_path / "h.pt", model, HubertConfig(label_rate=50))
    path, speech = shared("data", "speech", "hubert_base_ls960_L6_km100.bin"), shared(*SPEECH)
    features = hubert_reader(model, 6).get_feats(str(speech)).numpy()
    wanted = joblib.load(path).predict(features)
    found = nearest(Encoder(settings("hubert", 6), tmp_path / "h.pt", "cpu")(load_audio(speech)), import_kmeans(path))
    assert len(wanted) > 500
    np.testing.assert_array_equal(found, wanted)
    (tmp_path / "corpus.csv").write_text(f"path,split,labels\n{speech},test,speech\n")
    words = ["units=hubert", f"units.checkpoint={tmp_path / 'h.pt'}", f"units.quantizer={path}", "cluster.workers=1"]
    assert main(["prepare", f"corpus={tmp_path / 'corpus.csv'}", f"to={tmp_path / 'out'}", *words]) == 0
    record = json.loads(gzip.decompress((tmp_path / "out" / "test.jsonl.gz").read_bytes()))
    reduced = [f"{unit}" for i, unit in enumerate(wanted) if i == 0 or unit != wanted[i - 1]]
    assert record["units"] == " ".join(reduced)
    assert Quantizer.load(tmp_path / "out" / "quantizer.safetensors").features.settings == settings("hubert", 6)


@pytest.mark.slow
def test_units_hubert_alone_takes_the_published_model_and_clusters(tmp_path, file_server, monkeypatch):
    """A server of the test's own has both; they are a tiny model and its clusters."""
    shape = {**TINY, "encoder_layers": 6}
    model = hubert(**shape)
    save_hubert(tmp_path / "h.pt", model, HubertConfig(label_rate=50, **shape))
    clusters = MiniBatchKMeans(5, n_init=1, random_state=0)
    reader, path = hubert_reader(model, 6), write(tmp_path / "a.wav", hum(3))
    features = reader.get_feats(str(path)).numpy()
    joblib.dump(clusters.fit(features), tmp_path / "km.bin")
    for files, name, file in ((ENCODERS, "hubert", "h.pt"), (QUANTIZERS, "hubert100", "km.bin")):
        content = (tmp_path / file).read_bytes()
        served = PublishedFile(file_server.put(f"/{file}", content), hashlib.sha256(content).hexdigest())
        monkeypatch.setitem(files, name, served)
    (tmp_path / "corpus.csv").write_text("path,split,labels\na.wav,test,speech\n")
    words = [f"corpus={tmp_path / 'corpus.csv'}", f"to={tmp_path / 'out'}", f"cache={tmp_path / 'cache'}"]
    for _ in range(2):
        assert main(["prepare", "units=hubert", *words, "cluster.workers=1"]) == 0
    assert [path for path, _ in file_server.asked] == ["/h.pt", "/km.bin"]
    wanted = clusters.predict(features)
    reduced = [int(unit) for i, unit in enumerate(wanted) if i == 0 or unit != wanted[i - 1]]
    line = json.loads(gzip.decompress((tmp_path / "out" / "test.jsonl.gz").read_bytes()))
    assert line["units"] == " ".join(map(str, reduced))
    assert json.loads((tmp_path / "out" / "meta.json").read_text())["units"]["quantizer"] == "hubert100"
    made = quantizer_in(tmp_path / "out")
    checkpoint = encoder_of(made.features, None, tmp_path / "cache")
    recipe = UnitizerRecipe(quantizer=made, checkpoint=checkpoint, device="cpu", threads=1)
    ((heard,),) = unit_lines(recipe, asked_at(path).clips, "a clip to predict on")
    assert json.loads(heard) == {"id": "a.wav", "units": reduced}
    assert len(file_server.asked) == 2


@pytest.mark.parametrize("layer", [0, 2])
@pytest.mark.parametrize("old", [False, True])
def test_wav2vec2_gives_the_frames_of_fairseqs_reader(tmp_path, layer, old):
    torch.manual_seed(0)
    config = Wav2Vec2Config(quantize_targets=True, layer_norm_first=True, **TINY)
    model = Wav2Vec2Model(config).eval()
    values = dataclasses.asdict(config)
    layout = {"args": Namespace(**values)} if old else {"cfg": {"model": values, "task": {}}}
    torch.save({**layout, "model": model.state_dict()}, tmp_path / "w.pt")
    reader = Wav2VecFeatureReader.__new__(Wav2VecFeatureReader)
    reader.model, reader.layer, reader.use_cuda = model, layer, False
    reader.task = SimpleNamespace(cfg=SimpleNamespace(sample_rate=16_000))
    with torch.no_grad():
        wanted = reader.get_feats(str(write(tmp_path / "a.wav", hum(1.7))))
    found = Encoder(settings("w2v2", layer), tmp_path / "w.pt", "cpu")(hum(1.7))
    np.testing.assert_array_equal(found, wanted.numpy())


def cpc_model(levels=4):
    torch.manual_seed(0)
    return cpc.CPCModel(cpc.CPCEncoder(24), cpc.CPCAR(24, 16, False, levels))


def save_cpc(path):
    config = {"hiddenEncoder": 24, "hiddenGar": 16, "nLevelsGRU": 4}
    weights = {**cpc_model().state_dict(), "cpcCriterion.weight": torch.zeros(1)}
    torch.save({"weights": weights, "config": config}, path)


@pytest.mark.parametrize("samples", [160, 16_000, 64_000, 70_001, 128_500, 200_000])
def test_cpc_gives_the_frames_of_fairseqs_reader(tmp_path, samples):
    save_cpc(tmp_path / "c.pt")
    audio = hum(samples / 16_000)
    reader = cpc.CpcFeatureReader(str(tmp_path / "c.pt"), layer=2, use_cuda=False)
    wanted = reader.get_feats(str(write(tmp_path / "a.wav", audio))).numpy()
    found = Encoder(settings("cpc", 2), tmp_path / "c.pt", "cpu")(audio)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_cpc_keeps_no_frame_twice_where_less_than_a_frame_is_left(tmp_path):
    """fairseq's reader would append all frames once more: it keeps the last `-0:` of them."""
    save_cpc(tmp_path / "c.pt")
    encoder = Encoder(settings("cpc", 2), tmp_path / "c.pt", "cpu")
    assert encoder(hum(64_159 / 16_000)).shape == (400, 16)


@pytest.mark.parametrize("mode", ["default", "layer_norm"])
def test_windows_leave_the_frames_where_their_overlap_covers_all_that_a_frame_depends_on(tmp_path, mode):
    """Without attention that is its neighbours, and for `default` the loudness of all, which its group norm takes."""
    shape = dict(TINY, encoder_layers=1, extractor_mode=mode)
    model = hubert(**shape)
    with torch.no_grad():
        model.encoder.layers[0].self_attn.out_proj.weight.zero_()
    save_hubert(tmp_path / "h.pt", model, HubertConfig(label_rate=50, **shape))
    audio = hum(9.987) * np.linspace(0.1, 1, int(16_000 * 9.987), dtype=np.float32)
    whole = Encoder(settings("hubert", 1), tmp_path / "h.pt", "cpu")(audio)
    encoder = Encoder(settings("hubert", 1, window_s=2.0, overlap_s=1.5), tmp_path / "h.pt", "cpu")
    np.testing.assert_allclose(encoder(audio), whole, rtol=1e-3, atol=1e-4)
    short = hum(1.9, seed=1)
    np.testing.assert_array_equal(encoder(short), Encoder(settings("hubert", 1), tmp_path / "h.pt", "cpu")(short))


def test_windows_leave_nearly_all_units_under_full_attention(tmp_path):
    """The loudness changes after 12 s; the clusters are those of the whole."""
    shape = dict(TINY, encoder_layers=6, encoder_embed_dim=128, encoder_ffn_embed_dim=512)
    save_hubert(tmp_path / "h.pt", hubert(**shape), HubertConfig(label_rate=50, **shape))
    speech = load_audio(shared(*SPEECH))
    audio = np.concatenate([speech * np.float32(gain) for gain in (1.0, 0.3)])
    whole = Encoder(settings("hubert", 6), tmp_path / "h.pt", "cpu")(audio)
    centroids = MiniBatchKMeans(100, n_init=1, random_state=0).fit(whole).cluster_centers_
    cut = Encoder(settings("hubert", 6, window_s=8.0, overlap_s=6.0), tmp_path / "h.pt", "cpu")(audio)
    assert (nearest(cut, centroids) == nearest(whole, centroids)).mean() > 0.99


def test_audio_shorter_than_a_frame_is_refused(tmp_path):
    save_cpc(tmp_path / "c.pt")
    with pytest.raises(ShapeError, match=r"expected one channel of 160 samples or more, got \(159,\)"):
        Encoder(settings("cpc", 2), tmp_path / "c.pt", "cpu")(np.zeros(159, np.float32))


def test_settings_that_fairseq_would_run_as_python_are_refused(tmp_path):
    config = HubertConfig(label_rate=50, **TINY)
    model = hubert(**TINY)
    config.conv_feature_layers = f"__import__('os').mkdir('{tmp_path}/made')"
    save_hubert(tmp_path / "h.pt", model, config)
    with pytest.raises(CheckpointError, match=r"h\.pt: expected conv_feature_layers as .* nothing in it was run"):
        Encoder(settings("hubert", 2), tmp_path / "h.pt", "cpu")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layer_type": "conformer"}, "expected layer_type transformer, got 'conformer'"),
        ({"encoder_layers": 1}, "expected an encoder of 2 layers or more for that layer, got 1"),
        ({"encoder_layers": 4}, r"expected the weights of HubertModel; missing encoder\.layers\.3\."),
        ({"encoder_embed_dim": 64}, "expected the weights of its settings, got "),
        ({"activation_fn": "sine"}, "expected settings that a hubert model can be built from, got "),
    ],
)
def test_a_checkpoint_of_another_model_is_refused(tmp_path, change, message):
    config = dataclasses.replace(HubertConfig(label_rate=50, **TINY), **change)
    save_hubert(tmp_path / "h.pt", hubert(**TINY), config)
    with pytest.raises(CheckpointError, match=rf"h\.pt: {message}"):
        Encoder(settings("hubert", 2), tmp_path / "h.pt", "cpu")


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("cpc", "with `weights`, got another kind of file"),
        ("w2v2", "expected the weights of Wav2Vec2Model; missing "),
    ],
)
def test_a_hubert_is_no_other_encoder(tmp_path, kind, message):
    save_hubert(tmp_path / "h.pt", hubert(**TINY), HubertConfig(label_rate=50, **TINY))
    with pytest.raises(CheckpointError, match=message):
        Encoder(settings(kind, 2), tmp_path / "h.pt", "cpu")
