"""Settings of the command line to what preparing a corpus takes, and what came of it to its document."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import soundfile
import soxr

from sp_search.cli.parts import worker_count
from sp_search.config import Settings, UnitSettings
from sp_search.engine.build import pick_device
from sp_search.errors import CheckpointError
from sp_search.search.unit_actors import hear_on_cluster
from sp_search.tracking.provenance import versions
from sp_search.units.fitting import fitted
from sp_search.units.kmeans_file import import_kmeans
from sp_search.units.pool import hear_here
from sp_search.units.prepare import Hear, Listener, Prepared
from sp_search.units.quantizer import Features, Quantizer
from sp_search.units.recordings import Recording
from sp_search.units.unitizer import UnitizerRecipe, extractor, features_of


def quantizer_of(config: Settings, recordings: Sequence[Recording], folder: Path, listener: Listener) -> Quantizer:
    """The quantizer that the settings name, read, imported or fitted.

    Raises:
        UserError: it, or the encoder of its features, is wrong, or they don't belong together.
    """
    units, device = config.units, pick_device("auto").type
    features = features_of(units.signal, units.encoder, units.checkpoint, device)
    if units.quantizer is not None:
        return _read(units.quantizer, features)
    fit = units.fit
    return fitted(
        recordings,
        features,
        extractor(features, units.checkpoint, device),
        folder,
        listener,
        units=fit.units,
        utterances=fit.utterances,
        frames=fit.frames,
        seed=fit.seed,
    )


def hear_of(config: Settings, quantizer: Quantizer) -> Hear:
    """Who does the work: processes of this machine, one a core; actors, where there is a cluster or a GPU."""
    cores, cluster, engine = os.cpu_count() or 1, config.cluster, config.engine
    device = pick_device("auto").type if engine.device == "auto" else engine.device
    here = cluster.address is None and device == "cpu"
    processes = cluster.workers or cores
    cpus = cluster.cpus_per_worker or 1.0
    recipe = UnitizerRecipe(
        quantizer=quantizer,
        checkpoint=config.units.checkpoint,
        device=device,
        threads=engine.threads or max(1, cores // processes if here else int(cpus)),
    )
    if here:
        return partial(hear_here, recipe, processes=processes)
    gpus = cluster.gpus_per_worker if cluster.gpus_per_worker is not None else float(device == "cuda")
    workers = cluster.workers or (worker_count(config) if cluster.address is None else None)
    return partial(hear_on_cluster, recipe, address=cluster.address, workers=workers, cpus=cpus, gpus=gpus)


def document(units: UnitSettings, corpus: dict[str, str], quantizer: Quantizer, prepared: Prepared) -> dict[str, Any]:
    """What `meta.json` says."""
    return {
        "corpus": corpus,
        "units": {"name": units.name, **quantizer.describe()},
        "quantizer_fingerprint": quantizer.fingerprint,
        "utterances": prepared.utterances,
        "files": prepared.files,
        "unreadable": [{"id": name, "why": why} for name, why in prepared.unreadable],
        "versions": versions() | _audio_versions(),
    }


def _audio_versions() -> dict[str, str]:
    libraries = {"soundfile": soundfile.__version__, "soxr": soxr.__version__}
    return libraries | {"libsndfile": soundfile.__libsndfile_version__}


def _read(path: Path, features: Features) -> Quantizer:
    if path.suffix != ".safetensors":
        centroids = import_kmeans(path)
        if centroids.shape[1] != features.size:
            raise CheckpointError(
                f"{path}: expected centroids of {features.size} features a frame, got {centroids.shape[1]}; "
                f"is it the k-means of other features?"
            )
        return Quantizer(features, centroids)
    quantizer = Quantizer.load(path)
    if quantizer.features != features:
        raise CheckpointError(f"{path}: expected a quantizer of {features}, got one of {quantizer.features}")
    return quantizer
