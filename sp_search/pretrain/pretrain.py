"""A unit LM from utterances in units: a folder that a search takes as its LM.

`checkpoint_best.pt` and `dict.txt` are the LM; `training/` holds fairseq's data, checkpoints and log, and is what a
training goes on from.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from sp_search.errors import ConfigError
from sp_search.files.write import atomic_write, write_bytes, write_text
from sp_search.lm.zoo import CHECKPOINT, DICTIONARY
from sp_search.pretrain.databin import Source, UnitData, write_databin
from sp_search.pretrain.fairseq_settings import fairseq_settings
from sp_search.pretrain.progress import Shown
from sp_search.pretrain.recipe import Recipe
from sp_search.pretrain.training import train
from sp_search.units.fairseq_file import read_checkpoint

LAST, BEGUN = "checkpoint_last.pt", "begun.json"
MAY_CHANGE = ("updates", "valid_every")
"""What a training may go on with another value of."""


@dataclass(frozen=True)
class Pretrained:
    """What came out."""

    data: UnitData
    updates: int  # made, over all starts
    perplexity: float  # of the best checkpoint on valid, per unit, `</s>` counted as one


def pretrain(recipe: Recipe, source: Source, folder: Path, *, gpus: int, bfloat16: bool, shown: Shown) -> Pretrained:
    """Train a unit LM, or go on training it; a training that has all its updates is not trained again.

    Args:
        recipe: shape and training.
        source: the utterances.
        folder: of the LM.
        gpus: devices to train on; 0 = the CPU.
        bfloat16: train in bfloat16.
        shown: where people see the progress; with several GPUs it goes to a process of its own.

    Raises:
        UserError: the utterances are wrong, the folder holds another LM or training, or the loss became infinite.
    """
    training = folder / "training"
    if (folder / CHECKPOINT).exists() and not (training / BEGUN).exists():
        raise ConfigError(f"{folder}: expected no other LM in it, found {CHECKPOINT}; name another folder with to=")
    data = _written(training, recipe, source, bfloat16)
    for form in data.forms:
        shown.say(f"corpus: {form}")
    shown.say(_told(data, recipe))
    if _updates_made(training) < recipe.updates:
        cfg = fairseq_settings(recipe, training / "data-bin", training, gpus=gpus, bfloat16=bfloat16)
        train(cfg, training / "fairseq.log", shown)
    perplexity = _keep_best(training, folder)
    return Pretrained(data, _updates_made(training), perplexity)


def _written(training: Path, recipe: Recipe, source: Source, bfloat16: bool) -> UnitData:
    """The data where training expects them, once it is known that they are those it began with."""
    unfinished, place = training / "data-bin.part", training / "data-bin"
    shutil.rmtree(unfinished, ignore_errors=True)
    data = write_databin(unfinished, source, max_positions=recipe.max_positions, seed=recipe.seed)
    _check_begun(training, recipe, data, bfloat16)
    shutil.rmtree(place, ignore_errors=True)
    unfinished.rename(place)
    return data


def _check_begun(training: Path, recipe: Recipe, data: UnitData, bfloat16: bool) -> None:
    """Whether a training that is in the folder already is this one.

    Raises:
        ConfigError: it has another recipe or other units.
    """
    ours: dict[str, Any] = {name: value for name, value in asdict(recipe).items() if name not in MAY_CHANGE}
    ours |= {"bfloat16": bfloat16, "units' fingerprint": data.fingerprint}
    path = training / BEGUN
    if not (training / LAST).exists():
        write_text(path, json.dumps(ours, indent=2) + "\n")
        return
    try:
        begun = dict(json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(
            f"{path}: expected what the training in its folder began with, got a missing or damaged file; "
            f"name another folder with to="
        ) from error
    if faults := [
        f"{name}: expected {begun.get(name)}, got {value}" for name, value in ours.items() if begun.get(name) != value
    ]:
        raise ConfigError(
            "; ".join(faults) + f"; {training} was begun so: set it back, or name another folder with to="
        )


def _updates_made(training: Path) -> int:
    if not (training / LAST).exists():
        return 0
    return int(read_checkpoint(training / LAST, needed="model")["optimizer_history"][-1]["num_updates"])


def _keep_best(training: Path, folder: Path) -> float:
    """Put the best checkpoint where an LM is looked for, without its optimizer; returns its perplexity."""
    best = read_checkpoint(training / CHECKPOINT, needed="model")
    del best["last_optimizer_state"]
    with atomic_write(folder / CHECKPOINT) as unfinished, unfinished.open("wb") as file:
        torch.save(best, file)
    write_bytes(folder / DICTIONARY, (training / "data-bin" / DICTIONARY).read_bytes())
    return float(2 ** best["extra_state"]["best"])


def _told(data: UnitData, recipe: Recipe) -> str:
    cut = f"; {data.cut:,} were cut to {recipe.max_positions - 1:,} units" if data.cut else ""
    return (
        f"{data.units:,} units; {data.utterances['train']:,} utterances of {data.tokens['train']:,} units to train "
        f"on, {data.utterances['valid']:,} of {data.tokens['valid']:,} to measure on{cut}"
    )
