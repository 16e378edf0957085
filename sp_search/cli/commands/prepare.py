"""Turn a corpus in audio into units, as data for a search. Run it again to continue.

corpus= is a manifest: CSV or JSON lines with path, split (train, valid or test) and answers: labels, text, keyword,
slots, or any column with one label, such as emotion. With form= it is the folder of a published corpus. to= is the
folder for the result; give it to a search as data=. In the end the command says which tasks the corpus fits.
units=hubert, cpc, w2v2, mhubert25 or logmel takes the published speech model and k-means, which are downloaded once.
lm=gslm_hubert100 has the units of units=hubert, lm=gslm_hubert50 those of units=hubert units.fit.units=50, lm=slam
those of units=mhubert25, and lm=twist_350m the same without padding, units.encoder.pad=0.
units.checkpoint= names another speech model: fairseq's file, or a folder in the transformers format of HuBERT,
wav2vec 2.0 (units=w2v2) or WavLM (units=wavlm); units.encoder.layer= is its layer. units.quantizer= names another
k-means file; with null, clusters are fitted on train.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import soundfile
import soxr

from sp_search.cli.advice.next_steps import lm_of_units, next_steps
from sp_search.cli.settings.from_dict import did_you_mean
from sp_search.cli.settings.reads import OF_PREPARING
from sp_search.cli.wiring.factories import own_device, worker_count
from sp_search.config import Settings, UnitSettings
from sp_search.errors import CheckpointError, ConfigError
from sp_search.files.paths import check_writable, is_there, user_path
from sp_search.files.write import write_text
from sp_search.host import cores
from sp_search.message import say
from sp_search.published.catalogue import QUANTIZERS
from sp_search.search.cluster.unit_actors import hear_on_cluster
from sp_search.tracking.base.provenance import versions
from sp_search.units.corpora.read import Form, read_corpus
from sp_search.units.fitting import fitted
from sp_search.units.pool import hear_here
from sp_search.units.prepare import META, Hear, Listener, Prepared, prepare
from sp_search.units.progress import Progress
from sp_search.units.quantizer import Features, Quantizer
from sp_search.units.recordings import Recording
from sp_search.units.textless import check_frames, needed_model, published_quantizer, quantizer_on
from sp_search.units.unitizer import UnitizerRecipe, extractor, features_of

READS = OF_PREPARING
EXAMPLE = "sp-search prepare corpus=my.csv to=units/my units=hubert"


@dataclass(frozen=True, kw_only=True)
class PrepareSettings(Settings):
    """The corpus, and the folder for the result."""

    corpus: Path  # a table, CSV or JSON lines with path, split and an answer; with form= the corpus's folder
    form: Form = "manifest"  # of the corpus: manifest = a table, else the folder of a published corpus
    to: Path  # the folder for the result; a search takes it as data=FOLDER
    characters: str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ'"  # that a text may have, if its characters are the labels


def run(config: PrepareSettings) -> int:
    """Prepare, and print the path of the folder; 1 if a file could not be read."""
    for key, folder in (("to", config.to), ("cache", config.cache)):
        check_writable(folder, key, make=False)
    own_device(config)  # a missing GPU is told before anything is read or downloaded
    recordings = read_corpus(config.form, config.corpus, config.characters)
    progress = Progress()
    checkpoint = encoder_file(config.units, config.cache)
    quantizer = quantizer_of(config, checkpoint, recordings, config.to, progress)
    prepared = prepare(recordings, quantizer, config.to, hear_of(config, quantizer, checkpoint), progress)
    corpus = {"form": config.form, "path": str(config.corpus)}
    meta = json.dumps(document(config.units, corpus, quantizer, prepared), indent=2, ensure_ascii=False)
    write_text(config.to / META, meta + "\n")
    unread = {name for name, _ in prepared.unreadable}
    read = [recording for recording in recordings if recording.id not in unread]
    for line in next_steps(read, config.to, lm_of_units(config.units)):
        say(line)
    print(config.to)
    return int(bool(prepared.unreadable))


def encoder_file(units: UnitSettings, cache: Path) -> Path | None:
    """The file of the speech model: the one in the settings, else the published one; None if frames need no model.

    Raises:
        CheckpointError: a published quantizer was made from other frames, or a file is named that frames need not.
        DownloadError: the published model can't be had.
    """
    frames = units.signal or units.encoder
    assert frames is not None
    if units.quantizer is not None and units.quantizer in QUANTIZERS:
        check_frames(units.quantizer, frames)
    return needed_model(frames, units.checkpoint, cache)


def quantizer_of(
    config: Settings, checkpoint: Path | None, recordings: Sequence[Recording], folder: Path, listener: Listener
) -> Quantizer:
    """The quantizer of the settings, downloaded, read or imported; without one it is fitted on the training split.

    Raises:
        UserError: it, or the encoder of its features, is wrong, or they don't belong together.
    """
    units, device = config.units, own_device(config)
    features = features_of(units.signal, units.encoder, checkpoint, device)
    if units.quantizer is not None:
        return _named(units.quantizer, features, config.cache)
    fit = units.fit
    return fitted(
        recordings,
        features,
        extractor(features, checkpoint, device),
        folder,
        listener,
        units=fit.units,
        utterances=fit.utterances,
        frames=fit.frames,
        seed=fit.seed,
    )


def hear_of(config: Settings, quantizer: Quantizer, checkpoint: Path | None) -> Hear:
    """The function that does the work: in processes, one per core, or in actors if there is a cluster or a GPU."""
    there, cluster, engine = cores(), config.cluster, config.engine
    device = "cuda" if engine.device == "cuda" else own_device(config)
    here = cluster.address is None and device == "cpu"
    processes = cluster.workers or there
    cpus = cluster.cpus_per_worker or 1.0
    recipe = UnitizerRecipe(
        quantizer=quantizer,
        checkpoint=checkpoint,
        device=device,
        threads=engine.threads or max(1, there // processes if here else int(cpus)),
    )
    if here:
        return partial(hear_here, recipe, processes=processes)
    gpus = cluster.gpus_per_worker if cluster.gpus_per_worker is not None else float(device == "cuda")
    workers = cluster.workers or (worker_count(config) if cluster.address is None else None)
    return partial(hear_on_cluster, recipe, address=cluster.address, workers=workers, cpus=cpus, gpus=gpus)


def document(units: UnitSettings, corpus: dict[str, str], quantizer: Quantizer, prepared: Prepared) -> dict[str, Any]:
    """The content of `meta.json`."""
    return {
        "corpus": corpus,
        "units": {"name": units.name, "quantizer": units.quantizer, **quantizer.describe()},
        "quantizer_fingerprint": quantizer.fingerprint,
        "utterances": prepared.utterances,
        "files": prepared.files,
        "unreadable": [{"id": name, "why": why} for name, why in prepared.unreadable],
        "versions": versions() | _audio_versions(),
    }


def _audio_versions() -> dict[str, str]:
    libraries = {"soundfile": soundfile.__version__, "soxr": soxr.__version__}
    return libraries | {"libsndfile": soundfile.__libsndfile_version__}


def _named(name: str, features: Features, cache: Path) -> Quantizer:
    if name in QUANTIZERS:
        return published_quantizer(name, features, cache)
    path = user_path(name, "units.quantizer").absolute()
    if not is_there(path) or not path.is_file():
        raise ConfigError(
            f"units.quantizer: expected {', '.join(QUANTIZERS)}, a file that exists, or null to find clusters on "
            f"train, got {name!r}{did_you_mean(name, QUANTIZERS)}"
        )
    if path.suffix != ".safetensors":
        return quantizer_on(features, path, cache)
    quantizer = Quantizer.load(path)
    if quantizer.features != features:
        raise CheckpointError(f"{path}: expected a quantizer of {features}, got one of {quantizer.features}")
    return quantizer
