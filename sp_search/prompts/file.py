"""A trained prompt on disk: its tensors, and the document that says what they are.

The document carries the sha256 of the tensor file and is written last, so a folder is whole or known not to be.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from sp_search.errors import CheckpointError
from sp_search.files.json_keys import RepeatedKeyError, json_document
from sp_search.files.paths import check_inside
from sp_search.files.write import write_bytes

TENSORS, DOCUMENT = "prompt.safetensors", "prompt.json"
DIGEST = "tensors_sha256"


def save_prompt(folder: Path, tensors: Mapping[str, Tensor], document: Mapping[str, Any]) -> None:
    """Write a prompt into a folder, made where absent, over an older prompt."""
    raw = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
    text = json.dumps({**document, DIGEST: hashlib.sha256(raw).hexdigest()}, indent=2, sort_keys=True)
    for name, content in ((TENSORS, raw), (DOCUMENT, text.encode())):
        write_bytes(folder / name, content)


def load_prompt(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a prompt and its document.

    Raises:
        CheckpointError: a file is missing, unreadable, or a link that leaves the folder; or the document was written
            for other tensors.
    """
    for name in (TENSORS, DOCUMENT):
        check_inside(folder / name, folder, CheckpointError)
    try:
        raw = (folder / TENSORS).read_bytes()
        document = json_document((folder / DOCUMENT).read_bytes())
    except OSError as error:
        raise CheckpointError(
            f"{folder}: expected an exported prompt ({TENSORS} and {DOCUMENT}), got {error.strerror}"
        ) from error
    except RepeatedKeyError as error:
        raise CheckpointError(f"{folder / DOCUMENT} {error}; export it again") from error
    except ValueError as error:
        raise CheckpointError(f"{folder / DOCUMENT}: expected JSON, got a damaged file; export it again") from error
    if not isinstance(document, dict) or document.get(DIGEST) != hashlib.sha256(raw).hexdigest():
        raise CheckpointError(
            f"{folder / TENSORS}: expected the tensors that {DOCUMENT} was written for, got others or "
            f"a damaged file; export it again"
        )
    try:
        return load(raw), document
    except SafetensorError as error:
        raise CheckpointError(f"{folder / TENSORS}: expected tensors, got {error}; export it again") from error
