"""Fine-tuning: a trial trains every weight of an LM of its own, and shares no micro-batch with others.

The weights are float32 leaves. Each micro-batch folds them again into the engine's form, in the engine's dtype, and
its backward goes through the folding. A trial takes four times the LM in memory: weights, gradient and Adam's two
moments.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from sp_search.errors import CheckpointError
from sp_search.lm.architecture import Architecture, UnitLM

OWN = "lm."
"""Begins the stored names of an LM's weights; separator and head are stored without it."""


def own_copy(lm: UnitLM) -> UnitLM:
    """The same LM with float32 weights of its own, leaves of the graph."""
    leaves = {name: tensor.detach().float().clone().requires_grad_() for name, tensor in lm.tensors().items()}
    return UnitLM.from_tensors(lm.architecture, leaves, lm.fingerprint)


def own_named(lm: UnitLM) -> dict[str, Tensor]:
    """Its weights by the names they are stored under."""
    return {f"{OWN}{name}": tensor for name, tensor in lm.tensors().items()}


def split_own(
    named: Mapping[str, Tensor], architecture: Architecture, fingerprint: str, place: str
) -> tuple[UnitLM, dict[str, Tensor]]:
    """The LM among stored tensors, and the other tensors.

    Args:
        named: separator, head and the LM's weights.
        architecture: of the LM that was fine-tuned.
        fingerprint: of that LM, before.
        place: where they were stored, for errors.

    Raises:
        CheckpointError: a weight is missing, unexpected or of another shape.
    """
    own = {name.removeprefix(OWN): tensor for name, tensor in named.items() if name.startswith(OWN)}
    rest = {name: tensor for name, tensor in named.items() if not name.startswith(OWN)}
    try:
        return UnitLM.from_tensors(architecture, own, fingerprint), rest
    except CheckpointError as error:
        raise CheckpointError(f"{place}: {error}") from error
