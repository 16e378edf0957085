"""Feature frames in, reduced units out: k-means by nearest centroid, kept with the settings of its features."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from sklearn.cluster import MiniBatchKMeans

from sp_search.errors import CheckpointError, ConfigError, ShapeError
from sp_search.units.features import FeatureSettings, Floats, frames

Units = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Quantizer:
    """Centroids in the space of one kind of features; unit u is the nearest to centroid u."""

    features: FeatureSettings
    centroids: Floats  # (units, D)

    def __post_init__(self) -> None:
        if self.centroids.ndim != 2 or self.centroids.shape[1] != self.features.size:
            raise ShapeError(
                f"centroids: expected (units, {self.features.size}) for these features, got {self.centroids.shape}"
            )

    def units(self, audio: Floats) -> Units:
        """The reduced units of an utterance: (S,) at 16 kHz in, (N,) out; ShapeError as `frames` raises it."""
        return reduce_runs(nearest(frames(audio, self.features), self.centroids))

    def save(self, path: Path) -> None:
        """Write centroids, and in the metadata the settings of the features."""
        metadata = {"features": json.dumps(asdict(self.features), sort_keys=True)}
        save_file({"centroids": self.centroids}, str(path), metadata)

    @classmethod
    def load(cls, path: Path) -> Quantizer:
        """Read what `save` wrote.

        Raises:
            CheckpointError: the file is absent, damaged, or another kind of file.
        """
        try:
            with safe_open(str(path), framework="numpy") as file:
                settings = FeatureSettings(**json.loads(file.metadata()["features"]))
                return cls(settings, file.get_tensor("centroids"))
        except FileNotFoundError as error:
            raise CheckpointError(f"{path}: expected a quantizer, found no such file") from error
        except (SafetensorError, KeyError, TypeError, ValueError, ConfigError) as error:
            raise CheckpointError(f"{path}: expected centroids with their features' settings, got {error}") from error


def fit_quantizer(features: FeatureSettings, sample: Floats, units: int, seed: int) -> Quantizer:
    """Cluster (frames, D) into so many units."""
    model = MiniBatchKMeans(units, batch_size=4096, n_init=3, max_iter=100, random_state=seed)
    model.fit(sample)
    return Quantizer(features, model.cluster_centers_.astype(np.float32))


def nearest(points: Floats, centroids: Floats) -> Units:
    """(T, D) and (units, D) to (T,): the nearest centroid of each point, the first where two are as near."""
    return np.argmin((centroids**2).sum(axis=1) - 2 * points @ centroids.T, axis=1)


def reduce_runs(units: Units) -> Units:
    """Collapse runs: 7 7 7 3 3 7 to 7 3 7."""
    return units[np.append(True, units[1:] != units[:-1])] if len(units) else units
