"""A unit LM by name or by path, with the dictionary of its units."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from sp_search.errors import CheckpointError
from sp_search.lm.architecture import Architecture, UnitLM, random_lm
from sp_search.lm.store import load_checkpoint
from sp_search.units.dictionary import Dictionary

RANDOM = re.compile(r"random:(\d+)x(\d+)x(\d+)")
RANDOM_UNITS = 100


@dataclass(frozen=True)
class LoadedLM:
    """A unit LM and its dictionary."""

    name: str
    lm: UnitLM
    dictionary: Dictionary


def load_lm(name: str, path: Path | None, cache: Path) -> LoadedLM:
    """Load a unit LM.

    Args:
        name: `demo`, `random:LAYERSxWIDTHxHEADS`, or what to call the LM at `path`.
        path: a fairseq checkpoint with its `dict.txt` beside, or the folder of both; None for a built-in name.
        cache: where imported checkpoints are kept.

    Raises:
        CheckpointError: there is no such LM, it can't be run, or the dictionary is that of another LM.
        DataError: the dictionary is bad.
    """
    if path is None:
        if shape := RANDOM.fullmatch(name):
            return _random(name, *map(int, shape.groups()))
        if name != "demo":
            raise CheckpointError(f"lm: expected demo, random:LAYERSxWIDTHxHEADS or a path, got {name!r}")
        path = Path(str(files("sp_search") / "demo" / "assets" / "lm"))
    checkpoint = path if path.is_file() else _checkpoint_in(path)
    dictionary = Dictionary.load(checkpoint.parent / "dict.txt")
    lm = load_checkpoint(checkpoint, cache)
    dictionary.check_rows(lm.architecture.vocab_size, str(checkpoint))
    return LoadedLM(name, lm, dictionary)


def _checkpoint_in(folder: Path) -> Path:
    found = sorted(folder.glob("*.pt"))
    best = [path for path in found if path.name == "checkpoint_best.pt"]
    if len(best or found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise CheckpointError(
            f"{folder}: expected checkpoint_best.pt or one *.pt with dict.txt beside, found {names}"
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
    return LoadedLM(name, random_lm(architecture, seed=0), dictionary)
