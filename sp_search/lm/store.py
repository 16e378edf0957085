"""Imported unit LMs on disk: safetensors and JSON under the sha256 of the checkpoint they came from.

A checkpoint is read with care once; from then on its weights are memory-mapped, without pickle and without fairseq.
The JSON ends in a sha256 of the weights' file and of itself: a flipped byte would be another LM.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from sp_search.errors import CheckpointError
from sp_search.files.write import atomic_write, write_text
from sp_search.lm.architecture import Architecture
from sp_search.lm.checkpoint import import_checkpoint
from sp_search.lm.unit_lm import UnitLM
from sp_search.published.download import cannot_keep
from sp_search.published.pins import sha256_of

FORMAT = 2


def load_checkpoint(path: Path, cache: Path) -> UnitLM:
    """The LM of a checkpoint, from the cache or into it. A damaged cache entry is made again.

    Raises:
        CheckpointError: as `import_checkpoint`.
        DownloadError: the cache can't be written.
    """
    folder = cache / "lm" / file_sha256(path)
    try:
        return read_lm(folder)
    except CheckpointError:  # absent or damaged: the checkpoint itself is at hand
        lm = import_checkpoint(path)
    try:
        write_lm(lm, folder)
    except OSError as error:
        raise cannot_keep(folder, error) from error
    return lm


def write_lm(lm: UnitLM, folder: Path) -> None:
    """Write weights, then the JSON that makes the entry whole."""
    record = {"format": FORMAT, "architecture": asdict(lm.architecture), "fingerprint": lm.fingerprint}
    with atomic_write(folder / "weights.safetensors") as unfinished:
        save_file({name: tensor.contiguous() for name, tensor in lm.tensors().items()}, unfinished)
        seal = _seal(unfinished, record)
    write_text(folder / "lm.json", json.dumps({**record, "sha256": seal}, indent=2))


def read_lm(folder: Path) -> UnitLM:
    """Read what `write_lm` wrote.

    Raises:
        CheckpointError: the entry is absent or damaged.
    """
    try:
        record: dict[str, Any] = json.loads((folder / "lm.json").read_text())
        if record["format"] != FORMAT:
            raise CheckpointError(f"{folder}: expected format {FORMAT}, got {record['format']}")
        expected, got = record.pop("sha256"), _seal(folder / "weights.safetensors", record)
        if expected != got:
            raise CheckpointError(
                f"{folder}: expected an imported unit LM of sha256 {expected}, got one of {got}: it is damaged; "
                f"remove it, and the LM is imported again"
            )
        tensors = load_file(folder / "weights.safetensors")
        return UnitLM.from_tensors(Architecture(**record["architecture"]), tensors, record["fingerprint"])
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise CheckpointError(f"{folder}: expected an imported unit LM, got a missing or damaged one") from error


def _seal(weights: Path, record: Mapping[str, Any]) -> str:
    """sha256 over an entry's weights and its record, hex."""
    with weights.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    digest.update(json.dumps(record, sort_keys=True).encode())
    return digest.hexdigest()


def file_sha256(path: Path) -> str:
    """sha256 of a file, hex.

    Raises:
        CheckpointError: there is no such file.
    """
    try:
        return sha256_of(path)
    except OSError as error:
        raise CheckpointError(f"{path}: expected a fairseq checkpoint, got {error.strerror}") from error
