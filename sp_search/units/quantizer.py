"""Feature frames in, reduced units out: k-means by nearest centroid, kept with what its frames are."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save
from sklearn.cluster import MiniBatchKMeans

from sp_search.errors import CheckpointError, ConfigError, ShapeError
from sp_search.files.write import write_bytes
from sp_search.units.encoder import EncoderSettings
from sp_search.units.features import FeatureSettings, Floats, frames

Units = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class EncoderFeatures:
    """Frames of one certain speech model."""

    settings: EncoderSettings
    checkpoint: str  # sha256 of its file, hex
    size: int  # D, features a frame


Features = FeatureSettings | EncoderFeatures
"""What frames are made of: the wave alone, or a speech model."""


@dataclass(frozen=True)
class Quantizer:
    """Centroids in the space of one kind of features; unit u is the nearest to centroid u."""

    features: Features
    centroids: Floats  # (units, D)

    def __post_init__(self) -> None:
        if self.centroids.ndim != 2 or self.centroids.shape[1] != self.features.size:
            raise ShapeError(
                f"centroids: expected (units, {self.features.size}) for these features, got {self.centroids.shape}"
            )

    def units(self, audio: Floats) -> Units:
        """The reduced units of an utterance: (S,) at 16 kHz in, (N,) out; ShapeError as `frames` raises it.

        For features of the wave alone; those of a speech model come from its `Encoder`.
        """
        assert isinstance(self.features, FeatureSettings)
        return self.units_of(frames(audio, self.features))

    def units_of(self, features: Floats) -> Units:
        """The reduced units of an utterance's frames: (T, D) in, (N,) out."""
        return reduce_runs(nearest(features, self.centroids))

    def describe(self) -> dict[str, object]:
        """What its features are, and how many units it tells apart, as JSON has it."""
        return {"features": self._record(), "count": len(self.centroids)}

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over the centroids and what their features are, hex."""
        digest = hashlib.sha256(self._metadata().encode())
        digest.update(np.ascontiguousarray(self.centroids, "<f4").tobytes())
        return digest.hexdigest()

    def save(self, path: Path) -> None:
        """Write centroids, and in the metadata what their features are."""
        write_bytes(path, save({"centroids": self.centroids}, {"features": self._metadata()}))

    def _metadata(self) -> str:
        return json.dumps(self._record(), sort_keys=True)

    def _record(self) -> dict[str, Any]:
        """What its features are. No padding is not said, as in quantizers from before there was any."""
        record = asdict(self.features)
        if isinstance(self.features, EncoderFeatures) and not self.features.settings.pad:
            del record["settings"]["pad"]
        return record

    @classmethod
    def load(cls, path: Path) -> Quantizer:
        """Read what `save` wrote.

        Raises:
            CheckpointError: the file is absent, damaged, or another kind of file.
        """
        try:
            with safe_open(str(path), framework="numpy") as file:
                features = _features(json.loads(file.metadata()["features"]))
                return cls(features, file.get_tensor("centroids"))
        except FileNotFoundError as error:
            raise CheckpointError(f"{path}: expected a quantizer, found no such file") from error
        except (SafetensorError, OSError, KeyError, TypeError, ValueError, ConfigError) as error:
            raise CheckpointError(f"{path}: expected centroids with their features' settings, got {error}") from error


def _features(record: dict[str, object]) -> Features:
    if isinstance(settings := record.get("settings"), dict):
        return EncoderFeatures(**{**record, "settings": EncoderSettings(**settings)})  # type: ignore[arg-type]
    return FeatureSettings(**record)  # type: ignore[arg-type]


def fit_quantizer(features: Features, sample: Floats, units: int, seed: int) -> Quantizer:
    """Cluster (frames, D) into so many units.

    Raises:
        ShapeError: there are fewer frames than units.
    """
    if len(sample) < units:
        raise ShapeError(f"sample: expected {units} frames or more for {units} units, got {len(sample)}")
    model = MiniBatchKMeans(units, batch_size=4096, n_init=3, max_iter=100, random_state=seed)
    model.fit(sample)
    return Quantizer(features, model.cluster_centers_.astype(np.float32))


def nearest(points: Floats, centroids: Floats) -> Units:
    """(T, D) and (units, D) to (T,): the nearest centroid of each point, the first where two are as near."""
    return np.argmin((centroids**2).sum(axis=1) - 2 * points @ centroids.T, axis=1)


def reduce_runs(units: Units) -> Units:
    """Collapse runs: 7 7 7 3 3 7 to 7 3 7."""
    return units[np.append(True, units[1:] != units[:-1])] if len(units) else units
