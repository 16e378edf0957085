"""A unit LM by name or by path, with the dictionary of its units; published ones are downloaded."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from sp_search.errors import CheckpointError
from sp_search.host import memory
from sp_search.lm.architecture import Architecture, layer_shapes
from sp_search.lm.config_json import has_config
from sp_search.lm.known import keep_dictionary
from sp_search.lm.store import load_checkpoint, load_folder
from sp_search.lm.unit_lm import UnitLM, random_lm
from sp_search.lm.unit_tokens import GivenTokens
from sp_search.published.archive import fetch_lm
from sp_search.published.catalogue import LMS
from sp_search.units.dictionary import Dictionary
from sp_search.units.prepare import META
from sp_search.units.transformers_folder import weight_files

RANDOM = re.compile(r"random:([0-9]{1,6})x([0-9]{1,6})x([0-9]{1,6})")
RANDOM_UNITS = 100
WEIGHT_BYTES = 4  # in float32
CHECKPOINT, DICTIONARY = "checkpoint_best.pt", "dict.txt"


@dataclass(frozen=True)
class LoadedLM:
    """A unit LM and its dictionary."""

    name: str
    lm: UnitLM
    dictionary: Dictionary


def is_known(name: str) -> bool:
    """Whether an LM is known by this name, and needs no path."""
    return name == "demo" or name in LMS or RANDOM.fullmatch(name) is not None


def load_lm(name: str, path: Path | None, cache: Path, given: GivenTokens | None = None) -> LoadedLM:
    """Load a unit LM.

    Args:
        name: `demo`, `random:LAYERSxWIDTHxHEADS`, a published LM's, or what to call the LM at `path`.
        path: a fairseq checkpoint with its `dict.txt` beside, the folder of both, or a folder in the `transformers`
            format; None for a name that is known.
        cache: where downloads and imported checkpoints are kept.
        given: which tokens of a folder in the `transformers` format are what, where the folder does not say it.

    Raises:
        CheckpointError: there is no such LM, it can't be run, or the dictionary is that of another LM.
        DataError: the dictionary is bad.
        DownloadError: a published LM can't be had.
    """
    if path is None:
        if shape := RANDOM.fullmatch(name):
            return _random(name, *map(int, shape.groups()))
        path = _folder_of(name, cache)
    if has_config(path if path.is_dir() else path.parent):
        lm, dictionary = load_folder(path if path.is_dir() else path.parent, given or GivenTokens(), cache)
        keep_dictionary(lm.fingerprint, dictionary, cache)
        return LoadedLM(name, lm, dictionary)
    if given is not None and (said := given.described):
        raise CheckpointError(
            f"{path}: expected an LM in the transformers format where {said} is set, got a fairseq checkpoint, whose "
            f"dict.txt says all; leave it out"
        )
    checkpoint = path if path.is_file() else _checkpoint_in(path)
    dictionary = Dictionary.load(checkpoint.parent / DICTIONARY)
    lm = load_checkpoint(checkpoint, cache)
    dictionary.check_rows(lm.architecture.vocab_size, str(checkpoint))
    keep_dictionary(lm.fingerprint, dictionary, cache)
    return LoadedLM(name, lm, dictionary)


def files_of(path: Path) -> dict[str, Path]:
    """The files from which an LM is loaded, by their places in a folder of them alone: another machine needs no more.

    Args:
        path: as `load_lm` takes it.

    Raises:
        CheckpointError: there is no LM.
    """
    folder = path if path.is_dir() else path.parent
    if has_config(folder):
        files = [file for file in folder.iterdir() if file.is_file() and file.suffix in (".json", ".txt")]
        files += weight_files(folder)
    else:
        checkpoint = path if path.is_file() else _checkpoint_in(path)
        beside = {name: folder / name for name in (DICTIONARY, META) if (folder / name).is_file()}
        return {CHECKPOINT: checkpoint, **beside}
    return {file.name: file for file in files}


def _folder_of(name: str, cache: Path) -> Path:
    if name == "demo":
        return Path(str(files("sp_search") / "demo" / "assets" / "lm"))
    if name in LMS:
        return fetch_lm(LMS[name], cache)
    known = ", ".join(("demo", "random:LAYERSxWIDTHxHEADS", *LMS))
    raise CheckpointError(f"lm: expected {known} or a path, got {name!r}")


def _checkpoint_in(folder: Path) -> Path:
    found = sorted(folder.glob("*.pt"))
    best = [path for path in found if path.name == CHECKPOINT]
    if len(best or found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise CheckpointError(
            f"{folder}: expected {CHECKPOINT} or one *.pt with {DICTIONARY} next to it, or a folder in the "
            f"transformers format with config.json, found {names}"
        )
    return (best or found)[0]


def _random(name: str, layers: int, width: int, heads: int) -> LoadedLM:
    dictionary = Dictionary([str(unit) for unit in range(RANDOM_UNITS)])
    architecture = Architecture(
        layers=layers,
        embed_dim=width,
        ffn_embed_dim=4 * width,
        attention_heads=heads,
        vocab_size=len(dictionary),
        max_positions=3072,
    )
    size = WEIGHT_BYTES * layers * sum(map(math.prod, layer_shapes(architecture).values()))
    if size > (there := memory()):
        raise CheckpointError(
            f"lm: expected an LM of up to the {there / 1e9:,.0f} GB of memory, got {name} of {size / 1e9:,.0f} GB"
        )
    return LoadedLM(name, random_lm(architecture, seed=0), dictionary)
