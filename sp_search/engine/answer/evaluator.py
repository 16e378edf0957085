"""How trained prompts answer a task's utterances, and how good the answers are. Search, export and baselines use it.

With decoding `best` an answer is the likeliest of all answers of training; otherwise the LM writes it.

K prompts   N utterances
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor

from sp_search.engine.answer.answer_tree import answer_numbers, answer_tree
from sp_search.engine.answer.candidate import Candidate
from sp_search.engine.answer.generate import generate_answers
from sp_search.engine.answer.score import answer_nll, score_answers
from sp_search.engine.prompted.source_cache import SourceCache
from sp_search.engine.runtime.microbatch import MicrobatchSize
from sp_search.engine.transformer.folded_weights import FoldedWeights
from sp_search.errors import ConfigError
from sp_search.metrics.measures import measure
from sp_search.tasks.label_space import NOTHING, LabelSpace
from sp_search.tasks.registry import Task
from sp_search.tasks.trie import AnswerTrie
from sp_search.types import Split

Words = tuple[str, ...]
Symbols = npt.NDArray[np.int32]


@dataclass(frozen=True)
class ScoredAnswer:
    """The answer to one utterance.

    Where the best legal answer is taken, scores are the probabilities of all legal ones given that one of them is
    meant; where an answer is written, its own.
    """

    words: Words
    scores: Mapping[str, float]  # by the words of an answer, best first


@dataclass(frozen=True)
class SplitAnswers:
    """The answers to a labelled split in words, one an utterance, and the loss, where there is one."""

    words: Sequence[Words]
    loss: float | None

    def metrics(self, task: Task, split: Split) -> dict[str, float]:
        """The task's metrics, and `loss` beside them where there is one."""
        tallies = measure(task.metrics, self.words, split.answers)
        values = {name: tally.value for name, tally in tallies.items()}
        return values if self.loss is None else values | {"loss": self.loss}

    def intervals(self, task: Task, split: Split) -> dict[str, tuple[float, float]]:
        """The 95 % confidence interval of each of the task's metrics, by bootstrap over utterances."""
        tallies = measure(task.metrics, self.words, split.answers)
        return {name: tally.interval() for name, tally in tallies.items()}


class AnswerModel:
    """An LM with a task's label space, for prompts that answer in it."""

    def __init__(
        self,
        weights: FoldedWeights,
        space: LabelSpace,
        task: Task,
        size: MicrobatchSize | None = None,
        source_cache: SourceCache | None = None,
    ) -> None:
        """Make ready what the task's decoding needs.

        Args:
            weights: the frozen LM.
            space: the answers.
            task: of that label space.
            size: of a micro-batch that scores answers; by default the usual size for the device.
            source_cache: keeps the source states of the utterances for the next time; None keeps nothing.

        Raises:
            ConfigError: the longest answer allowed is shorter than any legal one.
        """
        self._weights, self._space, self._task, self._source_cache = weights, space, task, source_cache
        self._size = size or MicrobatchSize.for_scoring(weights.device)
        self._writing = MicrobatchSize.for_writing(weights.device)
        self._tree = answer_tree(space.answers, weights.device) if task.decoding == "best" else None
        self._trie = AnswerTrie(self._legal()) if task.decoding == "legal" else None

    @property
    def longest(self) -> int:
        """Symbols that an answer comes to at most."""
        return self._space.longest_answer(self._task)

    def answer(self, split: Split, candidate: Candidate, tokens_per_pass: int | None = None) -> list[ScoredAnswer]:
        """One prompt's answers to all utterances, in their order."""
        size = None if tokens_per_pass is None else MicrobatchSize(tokens_per_pass)
        if self._tree is None:
            written = self._write(split, candidate, size or self._writing)
            return [ScoredAnswer(words, {" ".join(words): float(f"{share:.6g}")}) for words, share in written]
        logp = score_answers(self._weights, split, self._tree, [candidate], size or self._size, self._source_cache)[0]
        return best_answers(logp, [self._words(answer) for answer in self._space.answers])

    def metrics(self, split: Split, answers: Symbols, candidates: Sequence[Candidate]) -> list[dict[str, float]]:
        """The task's metrics, and loss in nats per answer symbol, of each prompt (see `evaluated`)."""
        return [found.metrics(self._task, split) for found in self.evaluated(split, answers, candidates)]

    def evaluated(self, split: Split, answers: Symbols, candidates: Sequence[Candidate]) -> list[SplitAnswers]:
        """The answers of each prompt to a labelled split, and its loss in nats per answer symbol.

        The loss divides the summed nats by the symbols that were scored: those of each answer, and its `</s>` where
        that is scored. With decoding `best` an answer that training never had has no score and counts in no loss. If
        no answer of the split has one, `loss` is left out: NaN would read as a trial that diverged, though its other
        metrics are sound.

        Args:
            split: utterances with their answers in words.
            answers: (N, M), the same as label symbols.
            candidates: K prompts.
        """
        if self._tree is None:
            found = [[words for words, _ in self._write(split, one, self._writing)] for one in candidates]
            count = int((answers != NOTHING).sum()) + len(split)  # with each answer's `</s>`
            nll = answer_nll(self._weights, split, answers, candidates, self._size, self._source_cache)
            losses: list[float | None] = (nll.sum(-1) / count).tolist()
        else:
            scores = score_answers(  # (K, N, answers)
                self._weights, split, self._tree, candidates, self._size, self._source_cache
            )
            losses = self._legal_loss(scores, answers)
            names = [self._words(answer) for answer in self._space.answers]
            found = [[names[k] for k in best] for best in scores.argmax(-1).tolist()]
        return [SplitAnswers(words, loss) for words, loss in zip(found, losses, strict=True)]

    def _legal(self) -> list[tuple[int, ...]]:
        found = [answer for answer in self._space.answers if len(answer) <= self.longest]
        if not found:
            shortest = min(map(len, self._space.answers))
            raise ConfigError(f"max_answer: expected at least {shortest} symbols, got {self._task.max_answer}")
        return found

    def _words(self, answer: tuple[int, ...]) -> Words:
        return self._space.words(answer, self._task)

    def _write(self, split: Split, candidate: Candidate, size: MicrobatchSize) -> list[tuple[Words, float]]:
        """Each answer and its probability."""
        written = generate_answers(
            self._weights,
            split,
            candidate,
            longest=self.longest,
            trie=self._trie,
            size=size,
            source_cache=self._source_cache,
        )
        return [(self._words(one.symbols), float(np.exp(one.logp))) for one in written]

    def _legal_loss(self, scores: Tensor, answers: Symbols) -> list[float | None]:
        """Each prompt's nats per scored symbol, over the utterances whose answer is legal; None without any.

        Args:
            scores: (K, N, answers), nats.
            answers: (N, M) label symbols.
        """
        assert self._tree is not None
        numbers = answer_numbers(self._tree.legal, answers)  # (N,)
        is_legal = numbers >= 0
        if not is_legal.any():
            return [None] * len(scores)
        numbers = numbers[is_legal]  # (L,)
        symbols = int(self._tree.scored_symbols.cpu()[numbers].sum())
        picked = scores[:, is_legal].gather(-1, numbers.expand(len(scores), -1)[..., None])[..., 0]  # (K, L)
        return [-total / symbols for total in picked.sum(-1).tolist()]


def best_answers(logp: Tensor, words: Sequence[Words]) -> list[ScoredAnswer]:
    """The best answer to each utterance, and the share of every answer.

    Args:
        logp: (N, answers), nats, of any offset.
        words: each answer's.
    """
    names = [" ".join(one) for one in words]
    found = []
    for shares in logp.softmax(-1):  # (answers,)
        ranked = shares.argsort(descending=True, stable=True).tolist()
        by_answer = shares.tolist()
        scores = {names[k]: round(by_answer[k], 6) for k in ranked}
        found.append(ScoredAnswer(words[ranked[0]], scores))
    return found
