"""A folder in the `transformers` format as plain values and tensors; nothing in it is ever run.

Its settings are JSON. Its weights are safetensors, whole or in shards, or a `pytorch_model.bin`, which goes through
the same restricted unpickler as fairseq's checkpoints.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sp_search.errors import CheckpointError
from sp_search.files.json_keys import json_document
from sp_search.units.fairseq_file import read_pickle

if TYPE_CHECKING:
    from torch import Tensor

CONFIG = "config.json"
STEMS = ("model.safetensors", "pytorch_model.bin")
BUFFERS = re.compile(
    r"(^|\.)(rotary_emb\.inv_freq|attn\.bias|attn\.masked_bias|attention\.bias|attention\.masked_bias)$"
)
"""What older versions saved beside weights: masks and rates that follow from the config."""
_NEVER: Mapping[str, str] = {
    "auto_map": "custom code, which is never run; save it as one of the known model types",
    "quantization_config": "quantised weights; save it in float32, float16 or bfloat16",
    "compression_config": "compressed weights; save it in float32, float16 or bfloat16",
}
"""Keys that must be absent or null, and what they say of a model."""


def read_json(place: Path) -> dict[str, Any]:
    """A JSON file that holds an object.

    Raises:
        CheckpointError: it can't be read, or holds something else.
    """
    try:
        found = json_document(place.read_bytes())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{place}: expected a JSON object, got {str(error) or 'none'}") from error
    if not isinstance(found, dict):
        raise CheckpointError(f"{place}: expected a JSON object, got {found!r:.80}")
    return found


def unreadable_parts(settings: Mapping[str, Any], more: Mapping[str, str] | None = None) -> list[str]:
    """What settings say of a model that can't be read here; `more` has further keys that must be absent or null."""
    return [f"{what} ({name})" for name, what in {**_NEVER, **(more or {})}.items() if settings.get(name)]


def weight_files(folder: Path) -> list[Path]:
    """The files that hold the weights.

    Raises:
        CheckpointError: there are none, or a shard that the index names is missing.
    """
    for stem in STEMS:
        if (folder / stem).is_file():
            return [folder / stem]
        index = folder / f"{stem}.index.json"
        if index.is_file():
            named = read_json(index).get("weight_map")
            if not isinstance(named, dict) or not named:
                raise CheckpointError(f"{index}: expected a weight_map of names to files, got {named!r:.80}")
            shards = [folder / Path(str(name)).name for name in sorted({str(name) for name in named.values()})]
            if missing := [shard.name for shard in shards if not shard.is_file()]:
                raise CheckpointError(f"{folder}: expected all shards of {index.name}, missing {', '.join(missing)}")
            return shards
    raise CheckpointError(f"{folder}: expected {' or '.join(STEMS)}, or an index of shards, found none of them")


def read_weights(files: Sequence[Path]) -> dict[str, Tensor]:
    """All weights of some files by their names there, float32.

    Raises:
        CheckpointError: a file is damaged, or holds other things than plain floating-point tensors.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file
    from torch import Tensor

    found: dict[str, Tensor] = {}
    for file in files:
        try:
            named = load_file(file) if file.suffix == ".safetensors" else read_pickle(file, "file of weights")
        except (OSError, SafetensorError) as error:
            raise CheckpointError(f"{file}: expected safetensors, got a damaged or cut-off file") from error
        if not isinstance(named, Mapping):
            raise CheckpointError(f"{file}: expected weights by name, got another kind of file")
        for name, tensor in named.items():
            if BUFFERS.search(name):
                continue
            if not isinstance(tensor, Tensor) or not tensor.is_floating_point() or tensor.dtype.itemsize < 2:
                kind = tensor.dtype if isinstance(tensor, Tensor) else type(tensor).__name__
                raise CheckpointError(
                    f"{file}: expected weights in float32, float16 or bfloat16, got {name} of {kind}; quantised "
                    f"weights are not read"
                )
            found[name] = tensor.float()
    return found
