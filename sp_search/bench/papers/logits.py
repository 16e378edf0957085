"""Logits of a trial's targets by two ways that share nothing but the prompt: fairseq's decoder, and the engine.

B utterances   M answer symbols   A rows of the sequence or of the targets   V vocabulary   C label symbols
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from sp_search.bench.papers.fairseq_lm import fairseq_decoder
from sp_search.bench.papers.prompt_rows import lay_out, prompt_rows, row_logits
from sp_search.engine.answer.label_map import sequence_answers
from sp_search.engine.batch.collate import collate_sources
from sp_search.engine.prompted.forward import target_logits
from sp_search.engine.prompted.prompt_kv import TrialPrompt
from sp_search.engine.prompted.source_states import run_source, source_levels
from sp_search.engine.transformer.folded_weights import fold_weights
from sp_search.lm.unit_lm import UnitLM

Sources = Sequence[npt.NDArray[np.int32]]


class TargetLogits(Protocol):
    """A forward pass, its frozen weights in a dtype."""

    dtype: torch.dtype

    def __call__(self, sources: Sources, fed: Tensor, targets: Tensor, prompt: TrialPrompt) -> tuple[Tensor, Tensor]:
        """Logits (B, A, V or C + 4) and the targets (B, A) of their rows, UNSCORED where nothing is scored.

        Args:
            sources: the units of each utterance.
            fed: (B, M), the units that stand for its answer, PAD behind the last.
            targets: (B, M + 2), what is expected from `<s>` on; UNSCORED where nothing is scored.
            prompt: the trial's, dropout applied.
        """
        ...


class FairseqLogits:
    """Through fairseq's own decoder in float32, the prompt as rows of the sequence."""

    def __init__(self, lm: UnitLM, instead: str = "one of fairseq") -> None:
        """Take the weights of an LM, on its device; raises as `fairseq_decoder`."""
        self._decoder = fairseq_decoder(lm, instead)
        self.dtype = torch.float32

    def __call__(self, sources: Sources, fed: Tensor, targets: Tensor, prompt: TrialPrompt) -> tuple[Tensor, Tensor]:
        """As `TargetLogits`."""
        rows = lay_out(sources, fed, targets, *prompt_rows(prompt))
        return row_logits(self._decoder, rows, prompt), rows.targets


class EngineLogits:
    """Through the engine, as a single trial."""

    def __init__(self, lm: UnitLM, dtype: torch.dtype) -> None:
        """Take the weights of an LM, on its device, in a dtype."""
        self._weights = fold_weights(lm, lm.device, dtype)
        self.dtype = dtype

    def __call__(self, sources: Sources, fed: Tensor, targets: Tensor, prompt: TrialPrompt) -> tuple[Tensor, Tensor]:
        """As `TargetLogits`."""
        weights = self._weights
        block = collate_sources(sources, max_units=0, device=weights.device)
        source = run_source(weights, block, source_levels([prompt.first_live_layer], weights.architecture.layers))
        logits = target_logits(weights, block, source, [prompt], sequence_answers(fed[None]))[0]
        head = prompt.tensors.head
        return (logits if head is None else F.linear(logits, head)), targets
