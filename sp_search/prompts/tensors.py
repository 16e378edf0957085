"""The trainable tensors of one trial: how they start and what they weigh.

P prompt positions   D embedding size   C label symbols   V vocabulary
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from sp_search.errors import CheckpointError
from sp_search.lm.architecture import Architecture
from sp_search.lm.unit_lm import UnitLM
from sp_search.prompts.settings import PromptSettings
from sp_search.types import SEPARATOR, SPECIALS


@dataclass
class PromptTensors:
    """What one trial trains, float32, leaves of the graph. None where a trial has no such part."""

    separator: Tensor  # (D,), the embedding of `<s>` before the LM's scale (fairseq: sqrt(D))
    prefix: Tensor | None = None  # (P, D), input prompt before the source
    infix: Tensor | None = None  # (P, D), input prompt right before `<s>`
    keys: Tensor | None = None  # (depth, P, D), stand in for the layer-normed input of the key projection
    values: Tensor | None = None  # (depth, P, D), the same for the value projection
    head: Tensor | None = None  # (C + 4, columns of the logits), linear verbalizer on the LM's logits

    def named(self) -> dict[str, Tensor]:
        """The tensors that are there, by name."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) is not None}

    def inert(self, layers: int) -> set[str]:
        """Names of stored tensors that can reach no scored position in an LM of so many layers."""
        all_deep = self.keys is not None and len(self.keys) == layers
        return {"prefix"} if all_deep and self.prefix is not None else set()

    def detached(self) -> PromptTensors:
        """The same values outside the graph."""
        return PromptTensors(**{name: tensor.detach() for name, tensor in self.named().items()})

    @classmethod
    def from_named(cls, named: Mapping[str, Tensor], place: str) -> PromptTensors:
        """Tensors by name, as `named` gave them.

        Raises:
            CheckpointError: a name that no prompt has, or no separator.
        """
        known = {f.name for f in fields(cls)}
        if unknown := sorted(set(named) - known):
            raise CheckpointError(f"{place}: expected prompt tensors among {sorted(known)}, got {unknown}")
        if "separator" not in named:
            raise CheckpointError(f"{place}: expected a tensor named separator, got {sorted(named)}")
        return cls(**named)


def initial_tensors(settings: PromptSettings, lm: UnitLM, generator: torch.Generator) -> PromptTensors:
    """The prompt a trial starts from, without its verbalizer head.

    Args:
        settings: its length, depth, position and initialisation.
        lm: gives width, layers and, for `init: embedding`, the rows to start from.
        generator: on the CPU, so that a trial starts alike on every device.

    Returns:
        float32 leaves on the LM's device that require gradients.
    """
    width, length, scale = lm.architecture.embed_dim, settings.prompt_length, lm.architecture.token_scale
    depth = len(settings.deep_layers(lm.architecture.layers))
    start: dict[str, Tensor] = {}
    if depth == 0 or (depth == lm.architecture.layers and settings.position == "prefix"):
        for name in ("prefix", "infix") if settings.position == "both" else (settings.position,):
            start[name] = _rows(settings, lm, length, scale, generator)
    elif settings.position == "infix":  # its last row asks the question that `<s>` answers: it stays live
        start["infix"] = _rows(settings, lm, length, scale, generator)
    if depth:
        for name in ("keys", "values"):
            rows = _rows(settings, lm, depth * length, None, generator)
            start[name] = rows.view(depth, length, width)
    start["separator"] = _rows(settings, lm, 1, 1.0, generator)[0]
    return PromptTensors(**{name: tensor.to(lm.device).requires_grad_() for name, tensor in start.items()})


def initial_head(
    units: tuple[int, ...], architecture: Architecture, start: str, generator: torch.Generator
) -> Tensor:
    """A linear verbalizer's first weights, (C + 4, columns of the LM's logits), float32 on the CPU.

    Args:
        units: the dictionary id of each label symbol.
        architecture: of the LM.
        start: `identity` copies each symbol's unit (and the specials) through, `uniform` is torch's and the
            papers' start, U(-1/sqrt(V), 1/sqrt(V)).
        generator: on the CPU.
    """
    rows, columns = SPECIALS + len(units), architecture.columns
    if start == "uniform":
        bound = 1 / math.sqrt(columns)
        return torch.empty(rows, columns).uniform_(-bound, bound, generator=generator)
    head = torch.zeros(rows, columns)
    for row, index in enumerate([*range(SPECIALS), *units]):
        if index == SEPARATOR or index not in architecture.absent:
            head[row, architecture.column(index)] = 1.0
    return head


def _rows(
    settings: PromptSettings, lm: UnitLM, rows: int, token_scale: float | None, generator: torch.Generator
) -> Tensor:
    """(rows, D) to start from; token_scale is the LM's factor on tokens, None where inputs are layer-normed."""
    width = lm.architecture.embed_dim
    if settings.init == "normal":
        return settings.init_scale * torch.randn(rows, width, generator=generator)
    units = torch.randint(SPECIALS, lm.architecture.vocab_size, (rows,), generator=generator)
    picked = lm.input_rows().float().cpu()[units]  # (rows, D)
    if token_scale is None:  # a layer-normed row has a root mean square of 1
        picked = picked / picked.square().mean(dim=1, keepdim=True).sqrt().clamp_min(1e-6)
        return settings.init_scale * picked
    return settings.init_scale * token_scale * picked
