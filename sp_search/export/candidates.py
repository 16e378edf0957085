"""A trained member of an exported folder as what answers: a prompt on the shared LM, or a fine-tuned LM."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from sp_search.engine.answer.candidate import Candidate
from sp_search.engine.answer.evaluator import AnswerModel
from sp_search.engine.answer.label_map import LabelMap
from sp_search.engine.prompted.prompt_kv import TrialPrompt
from sp_search.engine.trial.lm_copy import split_own
from sp_search.errors import CheckpointError
from sp_search.export.members import TrainedMember
from sp_search.lm.unit_lm import UnitLM
from sp_search.prompts.tensors import PromptTensors, initial_tensors
from sp_search.types import SPECIALS


def own_model(folder: Path, member: TrainedMember, model: AnswerModel, lm: UnitLM) -> tuple[AnswerModel, Candidate]:
    """A fine-tuned LM, and its separator as what answers.

    Raises:
        CheckpointError: as `candidate_of`, or tensors of the LM are missing or of another shape.
    """
    own, rest = split_own(member.tensors, lm.architecture, lm.fingerprint, str(folder))
    return model.on(own), candidate_of(folder, member, rest, model, own)


def candidate_of(
    folder: Path, member: TrainedMember, named: Mapping[str, Tensor], model: AnswerModel, lm: UnitLM
) -> Candidate:
    """What answers in units: a prompt, or the separator of a fine-tuned LM.

    Args:
        folder: of the export, for messages.
        member: what was trained.
        named: its tensors, without those of an LM of its own.
        model: the task's.
        lm: that it answers on.

    Raises:
        CheckpointError: labels and units, or the tensors, are not those of this member's settings.
    """
    if len(member.units) != model.symbols:
        raise CheckpointError(
            f"{folder}: expected a unit for each of {model.symbols} labels, got {len(member.units)}; export it again"
        )
    if not all(0 <= unit < lm.architecture.vocab_size for unit in member.units):
        raise CheckpointError(f"{folder}: expected units of its LM for the labels, got {list(member.units)!r:.60}")
    tensors, prompt = PromptTensors.from_named(named, str(folder)), member.settings.prompt
    _check_shapes(folder, tensors, member, lm)
    deep_layers = range(0) if prompt is None else prompt.deep_layers(lm.architecture.layers)
    is_infix = prompt is not None and prompt.is_deep_infix
    is_linear = tensors.head is not None
    verbalized = LabelMap.of(member.units, linear=is_linear, device=model.device, architecture=lm.architecture)
    return Candidate(TrialPrompt(tensors, deep_layers, is_infix), verbalized, member.settings.max_source_units)


def _check_shapes(folder: Path, tensors: PromptTensors, member: TrainedMember, lm: UnitLM) -> None:
    """Refuse tensors of other shapes than a prompt of these settings has."""
    width = lm.architecture.embed_dim
    wanted: dict[str, tuple[int, ...]] = {"separator": (width,)}
    if member.settings.prompt is not None:
        first = initial_tensors(member.settings.prompt, lm, torch.Generator().manual_seed(0))
        wanted |= {name: tuple(tensor.shape) for name, tensor in first.named().items()}
    if member.settings.verbalizer == "linear":
        wanted["head"] = (SPECIALS + len(member.units), lm.architecture.columns)
    got = {name: tuple(tensor.shape) for name, tensor in tensors.named().items()}
    if wanted != got:
        raise CheckpointError(f"{folder}: expected prompt tensors of shapes {wanted}, got {got}; export it again")
