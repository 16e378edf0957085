"""The members of an exported answer: from saved states to one tensor file and back.

A member's tensors stand in the file under its number, as `0.keys`; the document has an entry for each, in that order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from sp_search.engine.trial.checkpoint import read_state
from sp_search.engine.trial.hparams import TrialHParams
from sp_search.errors import CheckpointError
from sp_search.types import Member


@dataclass(frozen=True)
class SavedMember:
    """A member as an exported folder has it."""

    share: float
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
        saved = read_state(member.state)
        tensors |= {f"{i}.{name}": tensor for name, tensor in saved["tensors"].items()}
        entries.append(
            {
                "share": member.share,
                "trial": member.trial,
                "seed": member.seed,
                "params": dict(member.params),
                "budget": member.budget,
                "verbalizer": {"kind": saved["settings"]["verbalizer"], "units": saved["units"]},
                "segments": saved["segments"],
            }
        )
    return tensors, entries


def members_in(document: Mapping[str, Any], named: Mapping[str, Tensor], folder: Path) -> list[SavedMember]:
    """The members of an exported folder, of what `load_prompt` gave.

    Raises:
        CheckpointError: a tensor belongs to no member, or there is no member.
    """
    entries: Sequence[Mapping[str, Any]] = document["members"]
    if strangers := sorted(name for name in named if not _number(name) < len(entries)):
        raise CheckpointError(
            f"{folder}: expected tensors of {len(entries)} members, got {', '.join(strangers)}; export it again"
        )
    return [
        SavedMember(
            share=float(entry["share"]),
            settings=TrialHParams.from_params(entry["params"]),
            units=tuple(entry["verbalizer"]["units"]),
            tensors=tensors_of(named, i),
        )
        for i, entry in enumerate(entries)
    ]


def tensors_of(named: Mapping[str, Tensor], number: int) -> dict[str, Tensor]:
    """One member's tensors by their own names."""
    start = f"{number}."
    return {name.removeprefix(start): tensor for name, tensor in named.items() if name.startswith(start)}


def _number(name: str) -> float:
    number = name.partition(".")[0]
    return int(number) if number.isdecimal() else float("inf")
