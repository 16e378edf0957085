"""The units of GSLM and of TWIST: their speech models and k-means, downloaded when they are first asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from sp_search.errors import CheckpointError
from sp_search.published.catalogue import ENCODERS, QUANTIZERS, UNITS
from sp_search.published.download import fetch
from sp_search.units.encoder import EncoderSettings
from sp_search.units.features import FeatureSettings
from sp_search.units.kmeans_store import load_centroids
from sp_search.units.quantizer import EncoderFeatures, Features, Quantizer

CLUSTERED: Mapping[str, Mapping[str, object]] = {
    "hubert": {"kind": "hubert", "layer": 6},
    "cpc": {"kind": "cpc", "layer": 2},
    "w2v2": {"kind": "w2v2", "layer": 14},
    "mhubert25": {"kind": "mhubert25", "layer": 11},
    "logmel": {"kind": "fbank", "mels": 80, "window": 400, "hop": 160, "delta_reach": 0, "normalise": False},
}
"""What decides the frames that each kind of k-means was made of: fairseq, `gslm/speech2unit/README.md`; of mHuBERT's,
textlesslib."""
TWICE = ("mhubert25",)
"""Kinds whose model is also published as a folder (slprl/mhubert-base-25hz), of which no sha256 is known."""
OWN = "for units of your own say units.quantizer=FILE, or units.quantizer=null to find clusters on train"


def published_encoder(features: EncoderSettings, cache: Path) -> Path:
    """The file of a published speech model.

    Raises:
        CheckpointError: none of its kind is in the table.
        DownloadError: it can't be had.
    """
    if features.kind not in ENCODERS:
        raise CheckpointError(
            f"units.checkpoint: expected the folder of a {features.kind} model, got none; name it with "
            f"units.checkpoint=PATH"
        )
    return fetch(ENCODERS[features.kind], cache)


def check_frames(name: str, frames: FeatureSettings | EncoderSettings) -> None:
    """Refuse settings that make other frames than a published k-means was made of, before anything is downloaded.

    Raises:
        CheckpointError: they do.
    """
    wanted, got = CLUSTERED[UNITS[name][0]], asdict(frames)
    faults = [f"{key} {value}, got {got.get(key)}" for key, value in wanted.items() if got.get(key) != value]
    if faults:
        raise CheckpointError(f"units.quantizer: {name} expects frames of {'; '.join(faults)}; {OWN}")


def published_quantizer(name: str, features: Features, cache: Path) -> Quantizer:
    """A published k-means on frames that have passed `check_frames`.

    Raises:
        CheckpointError: the frames are of another speech model, or the file is bad.
        DownloadError: it can't be had.
    """
    if isinstance(features, EncoderFeatures):
        model = ENCODERS[features.settings.kind]
        if features.settings.kind not in TWICE and model.sha256 not in (None, features.checkpoint):
            raise CheckpointError(
                f"units.checkpoint: {name} expects the model of {model.url}, sha256 {str(model.sha256)[:12]}..., "
                f"got {features.checkpoint[:12]}...; {OWN}"
            )
    path = fetch(QUANTIZERS[name], cache)
    return quantizer_on(features, path, cache)


def encoder_of(features: Features, given: Path | None, cache: Path) -> Path | None:
    """The file of the speech model that made a quantizer's frames: the one given, else the published one.

    Returns:
        None where frames need no model, or where theirs is another than the published one and none is given.

    Raises:
        CheckpointError: one is given where frames need none.
        DownloadError: the published one can't be had.
    """
    if not isinstance(features, EncoderFeatures):
        check_no_model(features, given)
        return None
    published = ENCODERS.get(features.settings.kind)
    if given is None and published is not None and published.sha256 in (None, features.checkpoint):
        return published_encoder(features.settings, cache)
    return given


def needed_model(frames: FeatureSettings | EncoderSettings, given: Path | None, cache: Path) -> Path | None:
    """The file of the speech model that makes frames: the one given, else the published one; None if they need none.

    Raises:
        CheckpointError: one is given where frames need none.
        DownloadError: the published one can't be had.
    """
    if isinstance(frames, FeatureSettings):
        check_no_model(frames, given)
        return None
    return given or published_encoder(frames, cache)


def check_no_model(features: FeatureSettings, given: Path | None) -> None:
    """Refuse a speech model for frames that need none: whoever names it expects units of it.

    Raises:
        CheckpointError: one is given.
    """
    if given is not None:
        raise CheckpointError(
            f"units.checkpoint: expected none, for these units are of {features.kind} frames, which no speech model "
            f"makes, got {given}; leave it out, or name the units that it makes with units=hubert"
        )


def quantizer_on(features: Features, path: Path, cache: Path) -> Quantizer:
    """A k-means file as a quantizer of these features.

    Raises:
        CheckpointError: the file is bad, or is of frames of another size.
    """
    centroids = load_centroids(path, cache)
    if centroids.shape[1] != features.size:
        raise CheckpointError(
            f"{path}: expected centroids of {features.size} features a frame, got {centroids.shape[1]}; "
            f"is it the k-means of other features?"
        )
    return Quantizer(features, centroids)
