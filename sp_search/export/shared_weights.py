"""One frozen LM for several exported prompts: its weights ready to answer, and source states that they share."""

from __future__ import annotations

import torch

from sp_search.engine.prompted.source_cache import SourceCache
from sp_search.engine.runtime.device import DtypeName, pick_dtype
from sp_search.engine.transformer.folded_weights import FoldedWeights, fold_weights
from sp_search.lm.unit_lm import UnitLM
from sp_search.units.dictionary import Dictionary


class SharedWeights:
    """The frozen LM ready to answer, in each arithmetic that is asked for, once for all prompts that use it."""

    def __init__(self, lm: UnitLM, dictionary: Dictionary, device: torch.device, *, keep_bytes: int = 0) -> None:
        """Share an LM.

        Args:
            lm: the LM.
            dictionary: of its units.
            device: where it answers.
            keep_bytes: of source states that one prompt leaves for the next; 0 keeps none.
        """
        self.lm, self.dictionary, self.device = lm, dictionary, device
        self._keep_bytes = keep_bytes
        self._folded: dict[torch.dtype, tuple[FoldedWeights, SourceCache | None]] = {}

    def folded(self, dtype: DtypeName) -> tuple[FoldedWeights, SourceCache | None]:
        """The weights in an arithmetic, and where source states are kept."""
        picked = pick_dtype(dtype, self.device)
        if picked not in self._folded:
            weights = fold_weights(self.lm, self.device, picked)
            kept = SourceCache(weights, self._keep_bytes, rows=0) if self._keep_bytes else None
            self._folded[picked] = (weights, kept)
        return self._folded[picked]

    def forget_sources(self) -> None:
        """Drop the source states: the next utterances are others."""
        for _, kept in self._folded.values():
            if kept is not None:
                kept.clear()
