"""Rivals on disk: one safetensors file, whole or not at all; what is no array lies in its header as JSON."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file

from sp_search.errors import CheckpointError
from sp_search.files.write import atomic_write
from sp_search.rivals.rival import Rival

DOCUMENT, DIGEST = "document", "sha256"


def save_rivals(path: Path, rivals: Sequence[Rival], about: Mapping[str, Any]) -> None:
    """Write rivals, and plain values that say what they are of."""
    tensors = {
        f"{number}.{name}": np.ascontiguousarray(tensor)
        for number, rival in enumerate(rivals)
        for name, tensor in rival.tensors().items()
    }
    document = json.dumps({"about": about, "rivals": [rival.document() for rival in rivals]})
    with atomic_write(path) as unfinished:
        save_file(tensors, unfinished, {DOCUMENT: document, DIGEST: _digest(tensors, document)})


def load_rivals(path: Path) -> tuple[list[Rival], dict[str, Any]]:
    """Rivals again, in their order, and what was said of them.

    Raises:
        CheckpointError: there is no such file, or it is damaged.
    """
    try:
        with safe_open(path, "numpy") as file:
            header = dict(file.metadata() or {})
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: expected saved rivals, got {error}") from error
    if header.get(DIGEST) != _digest(tensors, header.get(DOCUMENT, "")):
        raise CheckpointError(f"{path}: expected saved rivals, got a damaged file")
    document = json.loads(header[DOCUMENT])
    rivals = [
        Rival.load(of_rival, _of_number(tensors, number), str(path))
        for number, of_rival in enumerate(document["rivals"])
    ]
    return rivals, document["about"]


def load_rival(path: Path, method: str) -> Rival:
    """The rival of one method among those saved.

    Raises:
        CheckpointError: there is none, or the file is absent or damaged.
    """
    rivals, _ = load_rivals(path)
    for rival in rivals:
        if rival.settings.method == method:
            return rival
    raise CheckpointError(
        f"{path}: expected a saved rival of method {method}, found none; remove it to fit them again"
    )


def _of_number(tensors: Mapping[str, npt.NDArray[Any]], number: int) -> dict[str, npt.NDArray[Any]]:
    start = f"{number}."
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}


def _digest(tensors: Mapping[str, npt.NDArray[Any]], document: str) -> str:
    """sha256 over the document and all arrays by name; safetensors does not notice flipped bytes."""
    digest = hashlib.sha256(document.encode())
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {tensors[name].shape}".encode())
        digest.update(tensors[name].data)
    return digest.hexdigest()
