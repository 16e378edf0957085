"""Clusters from the corpus itself, where no quantizer is given."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from sp_search.errors import DataError
from sp_search.units.ledger import recording_key
from sp_search.units.prepare import DONE, Listener
from sp_search.units.quantizer import Features, Quantizer, fit_quantizer
from sp_search.units.recordings import Recording
from sp_search.units.unitizer import Extract, hear_frames


def fitted(
    recordings: Sequence[Recording],
    features: Features,
    extract: Extract,
    folder: Path,
    listener: Listener,
    *,
    units: int,
    utterances: int,
    frames: int,
    seed: int,
) -> Quantizer:
    """Cluster frames of the training split, or read the clusters that an earlier run of the same settings found.

    Args:
        recordings: the corpus.
        features: what its frames are.
        extract: makes them.
        folder: of the prepared corpus; the clusters are kept in it.
        listener: is told.
        units: clusters.
        utterances: of the training split, drawn.
        frames: of these together, drawn.
        seed: of the draws and the clusters.

    Raises:
        DataError: the split has fewer frames than units; what can't be read is passed over.
    """
    train = [recording for recording in recordings if recording.split == "train"]
    chosen = np.sort(np.random.default_rng(seed).permutation(len(train))[:utterances])
    drawn = [train[i] for i in chosen]
    what = [asdict(features), units, frames, seed, [recording_key(recording) for recording in drawn]]
    key = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:32]
    path = folder / DONE / f"{key}.safetensors"
    if path.exists():
        return Quantizer.load(path)
    sample = _sample(drawn, extract, frames, seed, listener)
    if (found := sum(map(len, sample))) < units:
        raise DataError(f"train: expected {units} frames or more for {units} units, got {found}")
    quantizer = fit_quantizer(features, np.concatenate(sample), units, seed)
    quantizer.save(path)
    return quantizer


def _sample(
    drawn: Sequence[Recording], extract: Extract, frames: int, seed: int, listener: Listener
) -> list[np.ndarray[tuple[int, int], np.dtype[np.float32]]]:
    """As many frames of each as the others, and all of one that has fewer."""
    rng = np.random.default_rng(seed)
    share = -(-frames // max(1, len(drawn)))
    sample = []
    listener.begin("clustering", len(drawn), 0)
    for recording in drawn:
        try:
            heard = hear_frames(extract, recording)
        except DataError as error:
            listener.advance(str(error))
        else:
            sample.append(heard[rng.permutation(len(heard))[:share]])
            listener.advance("")
    listener.end()
    return sample
