"""Fine-tuning: a trial trains every weight of an LM of its own, and shares no micro-batch with others.

The weights are float32 leaves. Each micro-batch folds them into the engine's form and dtype, and its backward goes
through the folding. A trial needs four times the memory of the LM: weights, gradients and Adam's two moments.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from sp_search.errors import CheckpointError
from sp_search.lm.architecture import Architecture
from sp_search.lm.unit_lm import UnitLM

OWN = "lm."
"""Prefix of the stored names of an LM's weights. Separator and head are stored without it."""


def own_copy(lm: UnitLM) -> UnitLM:
    """A copy of the LM with float32 weights that are leaves of the graph."""
    leaves = {name: tensor.detach().float().clone().requires_grad_() for name, tensor in lm.tensors().items()}
    return UnitLM.from_tensors(lm.architecture, leaves, lm.fingerprint)


def own_named(lm: UnitLM) -> dict[str, Tensor]:
    """The weights by their stored names."""
    return {f"{OWN}{name}": tensor for name, tensor in lm.tensors().items()}


def split_own(
    named: Mapping[str, Tensor], architecture: Architecture, fingerprint: str, place: str
) -> tuple[UnitLM, dict[str, Tensor]]:
    """Split stored tensors into the LM and the other tensors.

    Args:
        named: separator, head and the LM's weights.
        architecture: of the LM that was fine-tuned.
        fingerprint: of that LM before fine-tuning.
        place: where they were stored, for messages.

    Raises:
        CheckpointError: a weight is missing, unexpected or of another shape.
    """
    own = {name.removeprefix(OWN): tensor for name, tensor in named.items() if name.startswith(OWN)}
    rest = {name: tensor for name, tensor in named.items() if not name.startswith(OWN)}
    try:
        return UnitLM.from_tensors(architecture, own, fingerprint), rest
    except CheckpointError as error:
        raise CheckpointError(f"{place}: {error}") from error
