"""Audio files and small corpora of them, synthesised."""

import numpy as np
import soundfile

from sp_search.units.encoder import EncoderSettings
from sp_search.units.features import FeatureSettings
from sp_search.units.quantizer import EncoderFeatures, Quantizer
from sp_search.units.recordings import Recording
from sp_search.units.unitizer import UnitizerRecipe

FEATURES = FeatureSettings(
    kind="fbank", mels=8, coefficients=2, window=400, hop=160, falloff=8.0, delta_reach=0, normalise=False
)


def hum(seconds, seed=0):
    """(S,): a voice-like tone whose pitch wanders, in noise."""
    rng = np.random.default_rng(seed)
    samples = int(16_000 * seconds)
    pitch = rng.uniform(80, 400, samples // 800 + 1).repeat(800)[:samples]
    tone = np.sin(2 * np.pi * np.cumsum(pitch) / 16_000)
    return (0.3 * tone + 0.05 * rng.standard_normal(samples)).astype(np.float32)


def write_hum(path, seconds=0.3, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, hum(seconds, seed), 16_000)
    return path


def recordings(folder, count=8):
    """Every second one in train, the rest in valid and test by turns."""
    splits = ("train", "valid", "train", "test")
    return [
        Recording(id=f"u{i}", split=splits[i % 4], path=write_hum(folder / f"{i}.wav", seed=i), labels=(f"l{i % 3}",))
        for i in range(count)
    ]


def quantizer(units=6, seed=0):
    return Quantizer(FEATURES, np.random.default_rng(seed).normal(-6, 2, (units, 8)).astype(np.float32))


def unitizer_recipe(**changes):
    return UnitizerRecipe(**{"quantizer": quantizer(), "checkpoint": None, "device": "cpu", "threads": 1, **changes})


def recipe_of_another_model(folder):
    """Its checkpoint is not the one that its quantizer was fitted on."""
    (folder / "h.pt").write_bytes(b"not the one")
    settings = EncoderSettings(kind="hubert", layer=6, window_s=100.0, overlap_s=10.0)
    features = EncoderFeatures(settings=settings, checkpoint="0" * 64, size=8)
    return unitizer_recipe(quantizer=Quantizer(features, quantizer().centroids), checkpoint=folder / "h.pt")
