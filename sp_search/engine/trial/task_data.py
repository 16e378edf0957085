"""A labelled corpus for a task: its splits, its label space, and the verbalizer of each trial."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt
from torch import Tensor

from sp_search.engine.batch.collate import check_lengths
from sp_search.engine.trial.hparams import TrialHParams
from sp_search.errors import ConfigError
from sp_search.lm.architecture import Architecture
from sp_search.metrics.parts import Known, deciding, known_answers
from sp_search.tasks.label_space import LabelSpace
from sp_search.tasks.registry import Task
from sp_search.tasks.verbalizers import Evidence, build_verbalizer, check_units
from sp_search.types import Corpus, Split
from sp_search.units.dictionary import Dictionary

MOST_CHOICES = 16_384
"""All beginnings of answers are scored in one tree, whose mask has the square of their number."""

Scores = npt.NDArray[np.float64]


@dataclass
class TaskData:
    """A corpus prepared for a task.

    likelihood_scores returns (C, V - 4) scores of the frozen LM. It is called once, when a trial first needs them.
    """

    corpus: Corpus
    dictionary: Dictionary
    task: Task
    space: LabelSpace
    answers: Mapping[
        str, npt.NDArray[np.int32]
    ]  # split -> (N, M) label symbols, NOTHING after the end of shorter answers
    likelihood_scores: Callable[[TaskData], Scores]
    _scores: Scores | None = field(default=None, init=False, repr=False)

    @property
    def train(self) -> Split:
        """The training split."""
        return self.corpus.splits["train"]

    @cached_property
    def known(self) -> Known:
        """Training's answers, if they part valid and test into sentences heard before and new ones."""
        return known_answers(self.task, self.corpus.splits)

    @cached_property
    def decides(self) -> str:
        """The metric by which a search on the corpus chooses."""
        return deciding(self.task, self.corpus.splits, self.known)

    def verbalizer_units(self, settings: TrialHParams, embedding: Tensor) -> tuple[int, ...]:
        """The dictionary id of each label symbol for a trial.

        Raises:
            ConfigError: a one-to-one verbalizer has more labels than units.
        """
        kind = self._kind(settings)
        if kind == "likelihood" and self._scores is None:
            self._scores = self.likelihood_scores(self)
        evidence = Evidence(
            space=self.space,
            train=self.train,
            dictionary=self.dictionary,
            embedding=embedding.float().cpu().numpy(),
            likelihood=self._scores,
        )
        return build_verbalizer(kind, evidence, settings.verbalizer_seed).units

    def check_trial(self, settings: TrialHParams, architecture: Architecture) -> None:
        """Refuse a trial that can't run on an LM and this corpus.         The check is cheap.

        Raises:
            ConfigError: its depth, probe layer, verbalizer or `score_end` does not fit.
            DataError: an utterance, cut as the trial does, is longer than the LM's positions.
        """
        if settings.prompt is not None:
            settings.prompt.deep_layers(architecture.layers)
        if settings.method == "probe" and settings.probe_layer > architecture.layers:
            raise ConfigError(
                f"probe_layer: expected at most the LM's {architecture.layers} layers, got {settings.probe_layer}"
            )
        if settings.method != "probe":
            check_units(self._kind(settings), len(self.space.symbols), len(self.dictionary.unit_ids))
        self.check_ends(settings)
        takes = architecture.prompts_take_positions and settings.prompt is not None
        prompt = settings.prompt.positions if takes and settings.prompt is not None else 0
        for name, split in self.corpus.splits.items():
            lengths = np.diff(split.offsets)
            if settings.max_source_units:
                lengths = lengths.clip(max=settings.max_source_units)
            longest = max(self.answers[name].shape[1], self.space.longest_answer(self.task))
            check_lengths(
                lengths, longest, architecture.max_positions, name, prompt=prompt, why=architecture.why_no_longer
            )

    @staticmethod
    def _kind(settings: TrialHParams) -> str:
        """The verbalizer that picks the units of a trial; for linear its base, unless that is the identity."""
        if settings.verbalizer == "linear" and settings.verbalizer_base != "identity":
            return settings.verbalizer_base
        return settings.verbalizer

    def check_ends(self, settings: TrialHParams) -> None:
        """Refuse a trial that has to know where an answer ends, but would never learn it.

        Raises:
            ConfigError: `</s>` is not scored, but answers differ in length or are written.
        """
        if settings.score_end:
            return
        lengths = sorted({len(answer) for answer in self.space.answers})
        if len(lengths) > 1:
            reason = f"training's answers have {lengths[0]} to {lengths[-1]} symbols and `</s>` tells where one ends"
            raise ConfigError(f"score_end: expected true, for {reason}; got false")
        if (decoding := self.task.decoding) != "best":
            raise ConfigError(f"score_end: expected true where decoding={decoding} writes up to `</s>`, got false")


def task_data(
    corpus: Corpus, dictionary: Dictionary, task: Task, likelihood_scores: Callable[[TaskData], Scores]
) -> TaskData:
    """Prepare a corpus for a task.

    Raises:
        DataError: a split has labels that training lacks, or answers that do not suit the task.
        ConfigError: answers are chosen, and there are too many of them.
    """
    space = LabelSpace.from_split(corpus.splits["train"], task)
    answers = {name: space.encode(split, task) for name, split in corpus.splits.items()}
    if task.chooses:
        _check_choices(space)
    return TaskData(corpus, dictionary, task, space, answers, likelihood_scores)


def _check_choices(space: LabelSpace) -> None:
    begun = {answer[:end] for answer in space.answers for end in range(1, len(answer) + 1)}
    if len(begun) > MOST_CHOICES:
        raise ConfigError(
            f"task.decoding: expected at most {MOST_CHOICES:,} beginnings of answers to choose among, got "
            f"{len(begun):,} of {len(space.answers):,} answers; take task.decoding=legal, which writes along them"
        )
