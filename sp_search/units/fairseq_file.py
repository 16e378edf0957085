"""A fairseq checkpoint as plain values and tensors; nothing in the file is ever run.

torch's own restricted unpickler reads it, with an allow-list of what fairseq's settings are made of. fairseq's loader
would run whatever the pickle names.
"""

from __future__ import annotations

import argparse
import collections
import pickle
import re
import struct
import typing
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sp_search.errors import CheckpointError

UNREADABLE = (RuntimeError, EOFError, LookupError, ValueError, TypeError, AttributeError, OSError, struct.error)
"""What torch.load raises on a damaged file beside UnpicklingError: a cut zip file ends in OSError, say."""


class Inert:
    """Stands for what a checkpoint holds beside settings and weights, such as the labels it was trained with."""


def read_checkpoint(path: Path, needed: str) -> dict[str, Any]:
    """The whole pickle, tensors on the CPU.

    Args:
        path: the checkpoint.
        needed: the key of the weights, a mapping; a file without it is no such checkpoint.

    Raises:
        CheckpointError: it is absent, damaged, holds objects that are not on the allow-list, or lacks the key.
    """
    checkpoint = read_pickle(path, "fairseq checkpoint")
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get(needed), Mapping):
        raise CheckpointError(f"{path}: expected a fairseq checkpoint with `{needed}`, got another kind of file")
    return checkpoint


def read_pickle(path: Path, what: str) -> Any:
    """What torch saved in a file, tensors on the CPU.

    Args:
        path: the file.
        what: what it is expected to be, for messages.

    Raises:
        CheckpointError: it is absent, damaged, or holds objects that are not on the allow-list.
    """
    import torch

    try:
        with torch.serialization.safe_globals(allowed_objects()), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Detected pickle protocol")  # it is then refused, or read
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: expected a {what}, found no such file") from error
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        instead = (
            f"an object of {named.group(1)}, which is not on the allow-list" if named else "another kind of file"
        )
        raise CheckpointError(f"{path}: expected a {what}, got {instead}; nothing in it was run") from error
    except UNREADABLE as error:
        raise CheckpointError(f"{path}: expected a whole {what}, got a damaged or cut-off file") from error


def model_settings(checkpoint: Mapping[str, Any], path: Path, section: str = "model") -> Mapping[str, Any]:
    """The settings of the model, or of another section; older checkpoints have them all together under `args`.

    Raises:
        CheckpointError: there are none.
    """
    cfg = checkpoint.get("cfg")
    found = cfg[section] if cfg is not None and section in cfg else checkpoint.get("args")
    if found is None:
        raise CheckpointError(
            f"{path}: expected the {section}'s settings under `args` or `cfg.{section}`, found neither"
        )
    if isinstance(found, argparse.Namespace):
        return vars(found)
    return {str(key): found[key] for key in found}


def allowed_objects() -> list[Any]:
    """What a checkpoint may hold beside tensors and plain values."""
    import omegaconf

    allowed: list[Any] = [argparse.Namespace, collections.defaultdict, dict, list, int, typing.Any]
    allowed += [omegaconf.DictConfig, omegaconf.ListConfig]
    allowed += [omegaconf.base.ContainerMetadata, omegaconf.base.Metadata]
    allowed += [getattr(omegaconf.nodes, f"{kind}Node") for kind in ("Any", "Boolean", "Float", "Integer", "String")]
    return [*allowed, (Inert, "fairseq.data.dictionary.Dictionary")]
