"""Imported k-means on disk: centroids as safetensors under the sha256 of the file that they came from."""

from __future__ import annotations

import hashlib
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from sp_search.errors import CheckpointError
from sp_search.files.write import atomic_write
from sp_search.published.download import cannot_keep
from sp_search.published.pins import sha256_of
from sp_search.units.features import Floats
from sp_search.units.kmeans_file import import_kmeans

SEAL = "sha256"


def load_centroids(path: Path, cache: Path) -> Floats:
    """The centroids of a k-means file, (units, D), from the cache or into it. A damaged cache entry is made again.

    Raises:
        CheckpointError: as `import_kmeans`.
        DownloadError: the cache can't be written.
    """
    try:
        kept = cache / "kmeans" / f"{sha256_of(path)}.safetensors"
    except OSError as error:
        raise CheckpointError(f"{path}: expected a k-means model (km.bin), got {error.strerror}") from error
    try:
        return _kept(kept)
    except (OSError, SafetensorError, KeyError):  # absent or damaged: the file itself is at hand
        centroids = import_kmeans(path)
    try:
        with atomic_write(kept) as unfinished:
            save_file({"centroids": centroids}, unfinished, metadata={SEAL: _seal(centroids)})
    except OSError as error:
        raise cannot_keep(kept, error) from error
    return centroids


def _kept(path: Path) -> Floats:
    with safe_open(path, framework="numpy") as file:
        centroids: Floats = file.get_tensor("centroids")
        sealed = (file.metadata() or {}).get(SEAL)
    if sealed != _seal(centroids):
        raise KeyError(SEAL)  # a flipped byte would be other units
    return centroids


def _seal(centroids: Floats) -> str:
    return hashlib.sha256(repr((centroids.shape, centroids.dtype)).encode() + centroids.tobytes()).hexdigest()
