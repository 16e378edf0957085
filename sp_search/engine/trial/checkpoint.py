"""A trial on disk: its prompt, optimizer and random state, written whole or not at all.

The file is in torch's format, followed by its sha256, because torch does not notice flipped bytes.
"""

from __future__ import annotations

import hashlib
import mmap
import pickle
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from sp_search.engine.trial.hparams import TrialHParams
from sp_search.engine.trial.trial import LiveTrial
from sp_search.errors import CheckpointError
from sp_search.files.write import atomic_write
from sp_search.published.pins import sha256_of
from sp_search.types import STATE_FILE
from sp_search.units.fairseq_file import UNREADABLE

SEAL = hashlib.sha256().digest_size * 2
"""Bytes of the sha256 at the end of the file, in hex digits."""
NEEDED = {
    "settings", "units", "tensors", "last_step", "optimizer", "generator", "updates", "utterances_seen", "segments",
    "train_s", "note",
}  # fmt: skip
"""What a saved state has, of earlier versions too."""
START_ANEW = "remove it to train the trial from its start"


@dataclass(frozen=True)
class TrialRun:
    """Everything that determines a trial's numbers apart from its settings, the LM and the corpus."""

    seed: int  # of its initialisation and dropout
    budget: int  # utterances, over which the learning rate warms up and decays
    batch_size: int  # utterances an update
    stream_seed: int  # of the order of the batches


def save_state(trial: LiveTrial, run: TrialRun, folder: Path, note: Mapping[str, Any] | None = None) -> None:
    """Write a trial's state and a note of plain values into a folder, which is created if needed."""
    with atomic_write(folder / STATE_FILE) as unfinished:
        with unfinished.open("wb") as file:  # given a path, torch would hide the reason of a failed write
            torch.save({**trial.state(), "of": asdict(run), "note": dict(note or {})}, file)
        seal = sha256_of(unfinished).encode()
        with unfinished.open("ab") as file:
            file.write(seal)


def read_state(folder: Path) -> dict[str, Any]:
    """Read a saved state onto the CPU, without running any code in it.

    Raises:
        CheckpointError: there is no state, or it is damaged or can't be read.
    """
    path = folder / STATE_FILE
    try:
        _check_seal(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: expected a trial's saved state, found no such file") from error
    except (pickle.UnpicklingError, *UNREADABLE) as error:
        raise CheckpointError(f"{path}: expected a trial's saved state, got a file torch can't read") from error
    if not isinstance(state, dict) or not state.keys() >= NEEDED:
        raise CheckpointError(f"{path}: expected a trial's saved state, got another kind of file")
    return state


def _check_seal(path: Path) -> None:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole:
        seal = whole[-SEAL:]
        with memoryview(whole) as content:
            got = hashlib.sha256(content[:-SEAL]).hexdigest()
    if seal != got.encode():
        expected = f"{seal[:12].decode()}..." if seal.isalnum() else "that it lacks"
        raise CheckpointError(
            f"{path}: expected a trial's saved state of sha256 {expected}, as it ends, got one of {got[:12]}...: "
            f"it is damaged or cut off; restore it from a copy, or {START_ANEW}"
        )


def load_state(folder: Path, settings: TrialHParams, run: TrialRun) -> dict[str, Any]:
    """Read the state of this trial, with the same settings, seed, budget and batches.

    Raises:
        CheckpointError: it can't be read, or belongs to another trial; the message names all differences.
    """
    state, place = read_state(folder), folder / STATE_FILE
    if "of" not in state:
        raise CheckpointError(
            f"{place}: expected a saved state with seed, budget, batch_size and stream_seed, got one of an older "
            f"version; {START_ANEW}"
        )
    wanted, got = _flat(asdict(settings) | asdict(run)), _flat(state["settings"] | state["of"])
    differing = [
        f"{name}: expected {wanted.get(name)}, got {got.get(name)}"
        for name in wanted | got
        if wanted.get(name) != got.get(name)
    ]
    if differing:
        raise CheckpointError(
            f"{place}: expected the saved state of this trial, got another's: {'; '.join(differing)}; {START_ANEW}"
        )
    return state


def _flat(named: Mapping[str, Any]) -> dict[str, Any]:
    """The values of nested records by dotted name."""
    flat: dict[str, Any] = {}
    for name, value in named.items():
        flat |= {f"{name}.{k}": v for k, v in value.items()} if isinstance(value, Mapping) else {name: value}
    return flat
