"""A published `km.bin` in, its centroids out; nothing in the file is ever run.

Such a file is a joblib pickle of scikit-learn's k-means: an ordinary pickle in which each array is announced by a
`NumpyArrayWrapper` (type, shape, order) and its bytes follow in the file, behind a padding since joblib 1.2. Here a
name that a model needs stands for an inert record, `numpy.dtype` alone is itself, and any other name is refused.
"""

from __future__ import annotations

import io
import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from sp_search.errors import CheckpointError
from sp_search.units.features import Floats

CENTROIDS = "cluster_centers_"
INERT = {
    ("sklearn.cluster._kmeans", "MiniBatchKMeans"),
    ("sklearn.cluster._kmeans", "KMeans"),
    ("sklearn.cluster.k_means_", "MiniBatchKMeans"),  # scikit-learn before 0.22
    ("sklearn.cluster.k_means_", "KMeans"),
    ("numpy", "ndarray"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy.random._pickle", "__randomstate_ctor"),
    ("numpy.random._pickle", "__bit_generator_ctor"),
    ("numpy.random._mt19937", "MT19937"),
    ("_codecs", "encode"),
}
"""Names that a model holds beside its arrays; they become `_Inert`."""
UNREADABLE = (EOFError, ValueError, TypeError, AttributeError, LookupError, OverflowError, MemoryError)
"""What the unpickler raises on a damaged file beside UnpicklingError."""


def import_kmeans(path: Path) -> Floats:
    """Read the centroids of a k-means model, (units, D).

    Raises:
        CheckpointError: the file is absent, damaged, compressed, no k-means model, or names what is not on the list.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: expected a k-means model (km.bin), got {error.strerror}") from error
    try:
        state = _Unpickler(_ExactReader(raw)).load()
    except _RefusedError as error:
        raise CheckpointError(
            f"{path}: expected a k-means model (km.bin), got a pickle that names {error}, which is not on the "
            f"allow-list; nothing in it was run"
        ) from error
    except (pickle.UnpicklingError, *UNREADABLE) as error:
        raise CheckpointError(
            f"{path}: expected a k-means model (an uncompressed joblib file), got a damaged or another kind of file"
        ) from error
    array = vars(state).get(CENTROIDS) if isinstance(state, _Inert) else None
    centroids = array.values if isinstance(array, _Array) else None
    if centroids is None or centroids.ndim != 2 or not centroids.size or not np.isfinite(centroids).all():
        raise CheckpointError(f"{path}: expected a k-means model with finite {CENTROIDS}, (units, D), found none")
    return centroids.astype(np.float32)


class _RefusedError(Exception):
    """A name in the pickle that is not on the list."""


class _ExactReader:
    """A file that the unpickler can't read ahead in (no `peek`), so that arrays are found where the pickle stops."""

    def __init__(self, raw: bytes) -> None:
        self._file = io.BytesIO(raw)
        self.size = len(raw)

    def read(self, count: int) -> bytes:
        return self._file.read(count)

    def readline(self) -> bytes:
        return self._file.readline()

    def tell(self) -> int:
        return self._file.tell()


class _Inert:
    """Anything a model holds that is not read here."""

    def __init__(self, *_: object) -> None: ...

    def __setstate__(self, state: object) -> None:
        if isinstance(state, dict):
            vars(self).update({key: value for key, value in state.items() if isinstance(key, str)})


class _Array:
    """joblib's NumpyArrayWrapper: told of its array, it reads it."""

    file: _ExactReader  # set on the subclass that one unpickler makes
    values: np.ndarray[Any, Any]

    def __setstate__(self, state: dict[str, Any]) -> None:
        dtype, shape = state["dtype"], tuple(map(int, state["shape"]))
        if not isinstance(dtype, np.dtype) or dtype.kind not in "fiu" or min(shape, default=0) < 0:
            raise pickle.UnpicklingError(f"expected an array of numbers, got {dtype} {shape}")
        if state.get("numpy_array_alignment_bytes") is not None:
            self.file.read(self.file.read(1)[0])
        count = math.prod(shape)
        if count * dtype.itemsize > self.file.size - self.file.tell():
            raise EOFError(f"expected {count} elements")
        values = np.frombuffer(self.file.read(count * dtype.itemsize), dtype)
        self.values = values.reshape(shape, order="F" if state.get("order") == "F" else "C")


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: _ExactReader) -> None:
        super().__init__(file)
        self._array = type("_ArrayOfFile", (_Array,), {"file": file})

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("joblib.numpy_pickle", "NumpyArrayWrapper"):
            return self._array
        if (module, name) == ("numpy", "dtype"):
            return np.dtype
        if (module, name) in INERT or (module == "numpy.dtypes" and name.endswith("DType")):
            return _Inert
        raise _RefusedError(f"{module}.{name}")
