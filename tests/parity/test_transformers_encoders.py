"""Frames of encoders in the `transformers` format against `transformers` itself: tiny random models in float32."""

import gzip
import json
import os

os.environ["HF_HUB_OFFLINE"] = "1"

import joblib
import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file
from sklearn.cluster import MiniBatchKMeans
from transformers import (
    HubertConfig,
    HubertForCTC,
    HubertModel,
    Wav2Vec2Config,
    Wav2Vec2Model,
    WavLMConfig,
    WavLMModel,
)

from sp_search.cli.main import main
from sp_search.errors import CheckpointError, ShapeError
from sp_search.units.encoder import Encoder, EncoderSettings
from tests.units.speech import hum

LAYERS = 3
TINY = dict(
    hidden_size=24, num_hidden_layers=LAYERS, num_attention_heads=3, intermediate_size=37, conv_dim=(20,) * 7,
    num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=4, vocab_size=7,
)  # fmt: skip
LARGE = dict(feat_extract_norm="layer", do_stable_layer_norm=True, conv_bias=True)
AT_25_HZ = dict(conv_dim=(20,) * 8, conv_stride=(5, 2, 2, 2, 2, 2, 2, 2), conv_kernel=(10, 3, 3, 3, 3, 2, 2, 2))
DISTANCES = dict(num_buckets=12, max_bucket_distance=20)
MODELS = {
    "hubert": ("hubert", lambda: HubertModel(HubertConfig(**TINY))),
    "hubert, large, unnormed projection": (
        "hubert", lambda: HubertModel(HubertConfig(**TINY, **LARGE, feat_proj_layer_norm=False))
    ),
    "mhubert25": ("mhubert25", lambda: HubertModel(HubertConfig(**{**TINY, **AT_25_HZ}))),
    "with a head": ("hubert", lambda: HubertForCTC(HubertConfig(**TINY))),
    "wav2vec 2.0": ("w2v2", lambda: Wav2Vec2Model(Wav2Vec2Config(**TINY))),
    "wav2vec 2.0, large": ("w2v2", lambda: Wav2Vec2Model(Wav2Vec2Config(**TINY, **LARGE))),
    "wavlm": ("wavlm", lambda: WavLMModel(WavLMConfig(**TINY, **DISTANCES))),
    "wavlm, large": ("wavlm", lambda: WavLMModel(WavLMConfig(**TINY, **DISTANCES, **LARGE))),
}  # fmt: skip
AUDIO = hum(1.3).astype(np.float32)


def made(build):
    """A model with every weight random, norms included."""
    torch.manual_seed(0)
    model = build().float().eval()
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() == 1:
                noise = 0.2 * torch.randn(weight.shape, generator=draw)
                weight.copy_(1 + noise if "norm" in name and name.endswith("weight") else noise)
            elif "rel_attn_embed" in name or "gru_rel_pos" in name:
                weight.copy_(torch.randn(weight.shape, generator=draw))
    return model


@pytest.fixture(scope="module", params=MODELS.values(), ids=MODELS)
def pair(request, tmp_path_factory):
    """What we call its kind, the model, and its folder."""
    kind, build = request.param
    model, folder = made(build), tmp_path_factory.mktemp("encoder")
    model.save_pretrained(folder)
    return kind, model, folder


def settings(kind, layer, **more):
    return EncoderSettings(kind=kind, layer=layer, **{"window_s": 100.0, "overlap_s": 10.0, **more})


def layer_frames(model, audio, layer):
    """(T, D): what comes out of a layer, counted from 1, before anything that follows it."""
    body = getattr(model, "hubert", model)
    caught = []
    hook = body.encoder.layers[layer - 1].register_forward_hook(lambda _, __, out: caught.append(out))
    with torch.inference_mode():
        model(torch.from_numpy(audio)[None])
    hook.remove()
    (found,) = caught
    return (found[0] if isinstance(found, tuple) else found)[0].numpy()


@pytest.mark.parametrize("layer", [1, 2, LAYERS])
def test_frames_are_those_of_transformers(pair, layer):
    kind, model, folder = pair
    ours = Encoder(settings(kind, layer - (kind == "w2v2")), folder, "cpu")(AUDIO)
    normed = model.config.feat_extract_norm == "layer"
    heard = (AUDIO - AUDIO.mean()) / np.sqrt(AUDIO.var() + 1e-5) if normed else AUDIO
    wanted = layer_frames(model, heard.astype(np.float32), layer)
    assert np.abs(wanted).max() > 0.5
    np.testing.assert_allclose(ours, wanted, rtol=1e-5, atol=1e-5)


def test_long_audio_in_windows_has_the_frames_that_it_has_whole(tmp_path):
    made(MODELS["hubert"][1]).save_pretrained(tmp_path)
    whole = Encoder(settings("hubert", 1), tmp_path, "cpu")(AUDIO)
    parts = Encoder(settings("hubert", 1, window_s=0.7, overlap_s=0.6), tmp_path, "cpu")(AUDIO)
    assert parts.shape == whole.shape
    assert np.abs(parts - whole).mean() < 0.02 * np.abs(whole).mean()


def test_silence_on_either_side_is_heard_as_samples_of_zero(tmp_path):
    made(MODELS["mhubert25"][1]).save_pretrained(tmp_path)
    padded = Encoder(settings("mhubert25", 2, pad=40), tmp_path, "cpu")
    wanted = Encoder(settings("mhubert25", 2), tmp_path, "cpu")(np.pad(AUDIO, 40))
    np.testing.assert_array_equal(padded(AUDIO), wanted)
    assert len(padded(AUDIO[:640])) == 1
    with pytest.raises(ShapeError, match="expected one channel of 640 samples or more"):
        padded(AUDIO[:639])


def test_weights_in_the_older_form_are_the_same(tmp_path):
    model = made(MODELS["hubert"][1])
    model.save_pretrained(tmp_path)
    wanted = Encoder(settings("hubert", 2), tmp_path, "cpu")(AUDIO)
    weights = load_file(tmp_path / "model.safetensors")
    old = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
    renamed = {name: next((name.replace(a, b) for a, b in old.items() if a in name), name) for name in weights}
    assert renamed != {name: name for name in weights}
    (tmp_path / "model.safetensors").unlink()
    torch.save({renamed[name]: weight for name, weight in weights.items()}, tmp_path / "pytorch_model.bin")
    np.testing.assert_array_equal(Encoder(settings("hubert", 2), tmp_path, "cpu")(AUDIO), wanted)


def changed(folder, **changes):
    place = folder / "config.json"
    place.write_text(json.dumps({**json.loads(place.read_text()), **changes}))


@pytest.mark.parametrize(
    ("changes", "kind", "layer", "fault"),
    [
        ({}, "wavlm", 1, r"config\.json: expected a plain wavlm encoder with gelu, got model_type 'hubert'"),
        ({"auto_map": {"AutoModel": "x.Y"}}, "hubert", 1, r"got custom code, which is never run; .* \(auto_map\)"),
        (
            {"conv_pos_batch_norm": True},
            "hubert",
            1,
            r"got a batch norm before its positions",
        ),
        ({"hidden_act": "relu"}, "hubert", 1, r"got hidden_act 'relu'"),
        ({}, "hubert", 4, r"expected an encoder of 4 layers or more for that layer, got 3"),
        ({"intermediate_size": 36}, "hubert", 1, r"expected the weights of a hubert encoder; .*: expected shape"),
        ({"feat_extract_norm": "layer"}, "hubert", 1, r"expected the weights of a hubert encoder; missing "),
        ({}, "cpc", 1, r"expected fairseq's file of a cpc model, got a folder"),
    ],
)
def test_what_is_not_computed_here_is_refused_by_name(tmp_path, changes, kind, layer, fault):
    made(MODELS["hubert"][1]).save_pretrained(tmp_path)
    changed(tmp_path, **changes)
    with pytest.raises(CheckpointError, match=fault):
        Encoder(settings(kind, layer), tmp_path, "cpu")


def test_a_file_is_no_wavlm(tmp_path):
    (tmp_path / "wavlm.pt").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"wavlm\.pt: expected the folder of a wavlm model .*, got a file"):
        Encoder(settings("wavlm", 1), tmp_path / "wavlm.pt", "cpu")


def test_prepare_makes_mhubert25_units_of_a_folder_and_a_file_of_clusters(tmp_path, capsys):
    """As SlamKit does: 40 samples of silence, the frames of a layer, the nearest cluster, runs collapsed."""
    model = made(MODELS["mhubert25"][1])
    model.save_pretrained(tmp_path / "encoder")
    rows = []
    for number, split in enumerate(("train", "valid", "test")):
        soundfile.write(tmp_path / f"{split}.wav", hum(0.9 + number / 10), 16_000, subtype="FLOAT")
        rows.append(f"{split}.wav,{split},on")
    (tmp_path / "corpus.csv").write_text("\n".join(["path,split,labels", *rows, ""]))
    audio, _ = soundfile.read(tmp_path / "train.wav", dtype="float32")
    frames = layer_frames(model, np.pad(audio, 40), 2)
    clusters = MiniBatchKMeans(5, n_init=1, random_state=0).fit(frames)
    joblib.dump(clusters, tmp_path / "km.bin")
    units = ["units=mhubert25", "units.encoder.layer=2", f"units.checkpoint={tmp_path}/encoder"]
    words = [*units, f"units.quantizer={tmp_path}/km.bin", f"cache={tmp_path}/cache", "cluster.workers=1"]
    assert main(["prepare", f"corpus={tmp_path}/corpus.csv", f"to={tmp_path}/out", *words]) == 0
    said = clusters.predict(frames)
    wanted = " ".join(map(str, said[np.append(True, said[1:] != said[:-1])]))
    with gzip.open(tmp_path / "out/train.jsonl.gz", "rt") as file:
        (line,) = map(json.loads, file)
    assert line["units"] == wanted
    meta = json.loads((tmp_path / "out/meta.json").read_text())
    assert meta["units"]["features"]["settings"]["pad"] == 40
