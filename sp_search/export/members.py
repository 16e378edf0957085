"""The members of an exported answer: from saved states to one tensor file and back.

A member's tensors stand in the file under its number, as `0.keys`; the document has an entry for each, in that order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sp_search.engine.trial.checkpoint import read_state
from sp_search.engine.trial.hparams import TrialHParams
from sp_search.errors import CheckpointError
from sp_search.rivals.file import load_rival
from sp_search.rivals.rival import Rival
from sp_search.rivals.settings import is_rival
from sp_search.types import RIVAL_FILE, Member


@dataclass(frozen=True)
class SavedMember:
    """A member as an exported folder has it."""

    share: float
    trained: TrainedMember | Rival


@dataclass(frozen=True)
class TrainedMember:
    """One that the engine trained: a prompt, a fine-tuned LM or a probe."""

    settings: TrialHParams
    units: tuple[int, ...]  # the dictionary id that stands for each label symbol; a probe has none
    tensors: Mapping[str, Tensor]


def packed_members(members: Sequence[Member]) -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
    """The tensors of all members under one roof, and an entry of the document for each.

    Raises:
        CheckpointError: a state can't be read.
    """
    tensors: dict[str, Tensor] = {}
    entries = []
    for i, member in enumerate(members):
        own, about = _rival(member) if is_rival(member.params) else _trial(member)
        tensors |= {f"{i}.{name}": tensor for name, tensor in own.items()}
        entries.append({"share": member.share, "params": dict(member.params), **about})
    return tensors, entries


def _trial(member: Member) -> tuple[Mapping[str, Tensor], dict[str, Any]]:
    saved = read_state(member.state)
    about = {
        "trial": member.trial,
        "seed": member.seed,
        "budget": member.budget,
        "verbalizer": {"kind": saved["settings"]["verbalizer"], "units": saved["units"]},
        "segments": saved["segments"],
    }
    return saved["tensors"], about


def _rival(member: Member) -> tuple[Mapping[str, Tensor], dict[str, Any]]:
    rival = load_rival(member.state / RIVAL_FILE, str(member.params["method"]))
    return {name: torch.from_numpy(array) for name, array in rival.tensors().items()}, {"rival": rival.document()}


def members_in(document: Mapping[str, Any], named: Mapping[str, Tensor], folder: Path) -> list[SavedMember]:
    """The members of an exported folder, of what `load_prompt` gave.

    Raises:
        CheckpointError: a tensor belongs to no member, or there is no member.
    """
    entries: Sequence[Mapping[str, Any]] = document["members"]
    if not entries:
        raise CheckpointError(f"{folder}: expected an answer of one member or more, got none; export it again")
    if strangers := sorted(name for name in named if not _number(name) < len(entries)):
        raise CheckpointError(
            f"{folder}: expected tensors of {len(entries)} members, got {', '.join(strangers)}; export it again"
        )
    return [
        SavedMember(float(entry["share"]), _as_trained(entry, tensors_of(named, i), folder))
        for i, entry in enumerate(entries)
    ]


def _as_trained(entry: Mapping[str, Any], named: Mapping[str, Tensor], folder: Path) -> TrainedMember | Rival:
    if is_rival(entry["params"]):
        return Rival.load(entry["rival"], {name: tensor.cpu().numpy() for name, tensor in named.items()}, str(folder))
    return TrainedMember(
        TrialHParams.from_params(entry["params"]), tuple(entry["verbalizer"]["units"]), tensors=named
    )


def tensors_of(named: Mapping[str, Tensor], number: int) -> dict[str, Tensor]:
    """One member's tensors by their own names."""
    start = f"{number}."
    return {name.removeprefix(start): tensor for name, tensor in named.items() if name.startswith(start)}


def _number(name: str) -> float:
    number = name.partition(".")[0]
    return int(number) if number.isdecimal() else float("inf")
