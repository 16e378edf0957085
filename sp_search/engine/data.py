"""What a pack needs of a labelled corpus: its splits, its label space, and the verbalizer a trial asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from torch import Tensor

from sp_search.engine.settings import TrialSettings
from sp_search.tasks.label_space import LabelSpace
from sp_search.tasks.verbalizers import build_verbalizer
from sp_search.types import Corpus, Split
from sp_search.units.dictionary import Dictionary

Scores = npt.NDArray[np.float64]


@dataclass
class TaskData:
    """A corpus made ready for a task.

    likelihood_scores gives (C, units) scores of the frozen LM; it is called once, when a trial first needs them.
    """

    corpus: Corpus
    dictionary: Dictionary
    space: LabelSpace
    answers: Mapping[str, npt.NDArray[np.int32]]  # split -> (N, M) label symbols
    likelihood_scores: Callable[[TaskData], Scores]
    _scores: Scores | None = field(default=None, init=False, repr=False)

    @property
    def train(self) -> Split:
        """The training split."""
        return self.corpus.splits["train"]

    def verbalizer_units(self, settings: TrialSettings, embedding: Tensor) -> tuple[int, ...]:
        """The dictionary id of each label symbol for a trial.

        Raises:
            ConfigError: a one-to-one verbalizer is asked for more labels than there are units.
        """
        kind = settings.verbalizer
        if kind == "linear":
            kind = "linear" if settings.verbalizer_base == "identity" else settings.verbalizer_base
        if kind == "likelihood" and self._scores is None:
            self._scores = self.likelihood_scores(self)
        built = build_verbalizer(
            kind,
            self.space,
            self.train,
            self.dictionary,
            seed=settings.verbalizer_seed,
            embedding=embedding.float().cpu().numpy(),
            likelihood_scores=self._scores,
        )
        return built.units
