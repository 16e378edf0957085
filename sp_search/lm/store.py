"""Imported unit LMs on disk: safetensors and JSON under the sha256 of the checkpoint they came from.

A checkpoint is read with care once; from then on its weights are memory-mapped, without pickle and without fairseq.
The JSON ends in a sha256 of the weights' file and of itself: a flipped byte would be another LM.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from sp_search.errors import CheckpointError
from sp_search.files.write import atomic_write, write_text
from sp_search.lm.architecture import Architecture
from sp_search.lm.checkpoint import import_checkpoint
from sp_search.lm.config_json import ModelConfig, read_config
from sp_search.lm.model_types import architecture_of
from sp_search.lm.model_weights import engine_weights
from sp_search.lm.unit_lm import UnitLM, tensors_fingerprint
from sp_search.lm.unit_tokens import GivenTokens, UnitTokens, unit_tokens
from sp_search.published.download import cannot_keep
from sp_search.published.pins import sha256_of
from sp_search.units.dictionary import Dictionary
from sp_search.units.transformers_folder import read_weights, weight_files

FORMAT = 2


def load_checkpoint(path: Path, cache: Path) -> UnitLM:
    """The LM of a fairseq checkpoint, from the cache or into it. A damaged cache entry is made again.

    Raises:
        CheckpointError: as `import_checkpoint`.
        DownloadError: the cache can't be written.
    """
    return _cached(cache / "lm" / file_sha256(path), partial(import_checkpoint, path))


def load_folder(folder: Path, given: GivenTokens, cache: Path) -> tuple[UnitLM, Dictionary]:
    """The LM of a folder in the `transformers` format, in the same way, and the dictionary of its units.

    Raises:
        CheckpointError: as `read_config`, `unit_tokens`, `weight_files` and `import_folder`.
        DataError: a `dict.txt` beside it is bad.
        DownloadError: the cache can't be written.
    """
    config = read_config(folder)
    tokens = unit_tokens(folder, config, given)
    files = weight_files(folder)
    sources = [file_sha256(file) for file in (config.place, *files)]
    named = json.dumps([sources, tokens.tokens, tokens.start])
    entry = cache / "lm" / hashlib.sha256(named.encode()).hexdigest()
    return _cached(entry, partial(import_folder, config, tokens, files)), tokens.dictionary


def import_folder(config: ModelConfig, tokens: UnitTokens, files: Sequence[Path]) -> UnitLM:
    """Read the weights of a folder in the `transformers` format, float32, on the CPU.

    Raises:
        CheckpointError: a file is damaged, or weights are missing, unexpected, quantised or of another shape.
    """
    architecture = architecture_of(config, vocab_size=len(tokens.tokens), start=tokens.start, absent=tokens.absent)
    tensors = engine_weights(read_weights(files), config, architecture, tokens.tokens)
    try:
        return UnitLM.from_tensors(architecture, tensors, tensors_fingerprint(tensors))
    except CheckpointError as error:
        raise CheckpointError(f"{config.place.parent}: {error}") from error


def _cached(folder: Path, make: Callable[[], UnitLM]) -> UnitLM:
    try:
        return read_lm(folder)
    except CheckpointError:  # absent or damaged: the checkpoint itself is at hand
        lm = make()
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
        raise CheckpointError(f"{path}: expected a file of an LM, got {error.strerror}") from error
