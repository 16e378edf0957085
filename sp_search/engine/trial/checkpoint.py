"""A trial on disk: its prompt, optimizer and random state, written whole or not at all.

The file is torch's and ends in the sha256 of what comes before, for torch reads flipped bytes as they are.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import pickle
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from sp_search.engine.trial.hparams import TrialHParams
from sp_search.engine.trial.trial import LiveTrial
from sp_search.errors import CheckpointError
from sp_search.published.pins import sha256_of
from sp_search.units.fairseq_file import UNREADABLE

STATE_FILE = "state.pt"
SEAL = hashlib.sha256().digest_size * 2
"""Bytes at the end of the file: hex digits."""


def save_state(trial: LiveTrial, folder: Path, note: Mapping[str, Any] | None = None) -> None:
    """Write a trial's state into a folder, made where absent, and a note of plain values with it."""
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f"{STATE_FILE}.{os.getpid()}"
    torch.save(trial.state() | {"note": dict(note or {})}, unfinished)
    seal = sha256_of(unfinished).encode()
    with unfinished.open("ab") as file:
        file.write(seal)
    unfinished.replace(folder / STATE_FILE)


def read_state(folder: Path) -> dict[str, Any]:
    """A saved state, on the CPU; no code in it is ever run.

    Raises:
        CheckpointError: no state is there, it is damaged, or it can't be read.
    """
    path = folder / STATE_FILE
    try:
        _check_seal(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: expected a trial's saved state, found no such file") from error
    except (pickle.UnpicklingError, *UNREADABLE) as error:
        raise CheckpointError(f"{path}: expected a trial's saved state, got a file torch can't read") from error
    if not isinstance(state, dict) or not {"settings", "units", "tensors", "segments", "note"} <= state.keys():
        raise CheckpointError(f"{path}: expected a trial's saved state, got another kind of file")
    return state


def _check_seal(path: Path) -> None:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole:
        seal = whole[-SEAL:]
        with memoryview(whole) as content:
            got = hashlib.sha256(content[:-SEAL]).hexdigest()
    if seal != got.encode():
        told = f"{seal[:12].decode()}..." if seal.isalnum() else "that it lacks"
        raise CheckpointError(
            f"{path}: expected a trial's saved state of sha256 {told}, as it ends, got one of {got[:12]}...: it is "
            f"damaged or cut off; restore it from a copy, or remove it to train the trial from its start"
        )


def load_state(folder: Path, settings: TrialHParams) -> dict[str, Any]:
    """A saved state for a trial of these settings.

    Raises:
        CheckpointError: it can't be read, or was saved by a trial of other settings.
    """
    state = read_state(folder)
    if state["settings"] != asdict(settings):
        raise CheckpointError(f"{folder}: expected the state of {asdict(settings)}, got that of {state['settings']}")
    return state
