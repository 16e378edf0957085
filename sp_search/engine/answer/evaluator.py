"""How trained prompts answer a task's utterances, and how good the answers are. Search, export and baselines use it.

With decoding `best` an answer is the likeliest of all answers of training; otherwise the LM writes it.

K prompts   N utterances
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sp_search.engine.answer.answer_tree import answer_numbers, answer_tree
from sp_search.engine.answer.candidate import Candidate
from sp_search.engine.answer.generate import generate_answers
from sp_search.engine.answer.recall import Recalled, answer_table
from sp_search.engine.answer.score import answer_nll, score_answers, symbol_log_probs
from sp_search.engine.prompted.source_cache import SourceCache
from sp_search.engine.runtime.microbatch import MicrobatchSize
from sp_search.engine.transformer.folded_weights import FoldedWeights, fold_weights
from sp_search.errors import ConfigError
from sp_search.lm.unit_lm import UnitLM
from sp_search.metrics.measures import measure
from sp_search.metrics.parts import Known, with_parts
from sp_search.metrics.tally import Tally
from sp_search.tasks.label_space import NOTHING, LabelSpace
from sp_search.tasks.registry import Task
from sp_search.tasks.trie import AnswerTrie
from sp_search.types import Answered, Split

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
    shares: Sequence[tuple[float, float | None]] = ()  # probabilities of the given and the wanted answer, if known

    @property
    def answered(self) -> list[Answered]:
        """Each answer with its probability and that of the wanted one."""
        if not self.shares:
            return [Answered(words, None, None) for words in self.words]
        return [Answered(words, *share) for words, share in zip(self.words, self.shares, strict=True)]

    def metrics(self, task: Task, split: Split, known: Known = frozenset()) -> dict[str, float]:
        """The task's metrics, also over each part of a parted split, and `loss` beside them where there is one."""
        values = {name: tally.value for name, tally in self.tallies(task, split, known).items()}
        return values if self.loss is None else values | {"loss": self.loss}

    def intervals(self, task: Task, split: Split, known: Known = frozenset()) -> dict[str, tuple[float, float]]:
        """The 95 % confidence interval of each of these metrics, by bootstrap over utterances."""
        return {name: tally.interval() for name, tally in self.tallies(task, split, known).items()}

    def tallies(self, task: Task, split: Split, known: Known = frozenset()) -> dict[str, Tally]:
        """Each of these metrics, utterance by utterance."""
        return with_parts(measure(task.metrics, self.words, split.answers), split.answers, known)


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
        self._names = [self._words(answer) for answer in space.answers] if self._tree is not None else []

    @property
    def device(self) -> torch.device:
        """Where it answers."""
        return self._weights.device

    @property
    def symbols(self) -> int:
        """Label symbols there are."""
        return len(self._space.symbols)

    @property
    def legal(self) -> Sequence[Words]:
        """The answers that are chosen among, in words; none where answers are written."""
        return self._names

    @cached_property
    def answer_table(self) -> Tensor:
        """Training's answers as label symbols, (A, M), for `Recalled`."""
        return answer_table(self._space.answers, self.device)

    def table_of(self, answers: Sequence[Words]) -> Tensor:
        """Answers in words as label symbols, (A, M), for `Recalled`."""
        numbers = self._space.numbers
        return answer_table([[numbers[label] for label in self._task.spell(one)] for one in answers], self.device)

    def on(self, lm: UnitLM) -> AnswerModel:
        """The same task on another LM, one that was fine-tuned."""
        own = fold_weights(lm, self._weights.device, self._weights.dtype, self._weights.backend)
        return AnswerModel(own, self._space, self._task, self._size)

    @property
    def writes(self) -> bool:
        """Whether answers are written symbol by symbol, not chosen among those of training."""
        return self._tree is None

    @property
    def longest(self) -> int:
        """Symbols that an answer comes to at most."""
        return self._space.longest_answer(self._task)

    def scores(self, split: Split, candidates: Sequence[Candidate], tokens_per_pass: int | None = None) -> Tensor:
        """Log-probability of every legal answer, for tasks that choose the best of them: (K, N, answers), nats."""
        assert self._tree is not None
        size = self._size if tokens_per_pass is None else MicrobatchSize(tokens_per_pass)
        return score_answers(self._weights, split, self._tree, candidates, size, self._source_cache)

    def write(
        self,
        split: Split,
        candidates: Sequence[Candidate],
        shares: Sequence[float],
        tokens_per_pass: int | None = None,
        recalled: Sequence[Recalled] = (),
    ) -> list[ScoredAnswer]:
        """Answers that prompts, and models that know whole answers, write together, and the probability of each."""
        written = generate_answers(
            self._weights,
            split,
            candidates,
            shares,
            longest=self.longest,
            trie=self._trie,
            recalled=recalled,
            size=self._writing if tokens_per_pass is None else MicrobatchSize(tokens_per_pass),
            source_cache=self._source_cache,
        )
        answers = [(self._words(one.symbols), float(f"{math.exp(one.logp):.6g}")) for one in written]
        return [ScoredAnswer(words, {" ".join(words): share}) for words, share in answers]

    def choose(self, scores: Tensor) -> list[ScoredAnswer]:
        """The best legal answer to each utterance; scores (N, answers) are log-probabilities of any offset."""
        return best_answers(scores, self._names)

    def chosen(self, scores: Tensor, answers: Symbols) -> SplitAnswers:
        """The same for a labelled split, whose answers are (N, M) label symbols; with the loss, see `evaluated`."""
        assert self._tree is not None
        (loss,) = self._legal_loss(scores[None], answers)
        log_probs = scores.log_softmax(-1)
        gold = answer_numbers(self._tree.legal, answers)  # (N,), -1 where training lacks the answer
        wanted = log_probs.gather(-1, gold.clamp(min=0)[:, None])[:, 0].exp().tolist()
        given = log_probs.max(-1).values.exp().tolist()
        shares = [
            (round(p, 6), round(q, 6) if number >= 0 else None)
            for p, q, number in zip(given, wanted, gold.tolist(), strict=True)
        ]
        return SplitAnswers([self._names[k] for k in scores.argmax(-1).tolist()], loss, shares)

    def symbol_log_probs(self, split: Split, answers: Symbols, candidate: Candidate) -> Tensor:
        """What a prompt expects at every symbol of the split's own answers; see `score.symbol_log_probs`."""
        return symbol_log_probs(self._weights, split, answers, candidate, self._size, self._source_cache)

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
            written = [self.write(split, [one], [1.0]) for one in candidates]
            count = int((answers != NOTHING).sum()) + len(split)  # with each answer's `</s>`
            nll = answer_nll(self._weights, split, answers, candidates, self._size, self._source_cache)
            losses: list[float | None] = (nll.sum(-1) / count).tolist()
            return [
                SplitAnswers([one.words for one in of_prompt], loss, written_shares(of_prompt))
                for of_prompt, loss in zip(written, losses, strict=True)
            ]
        return [self.chosen(scores, answers) for scores in self.scores(split, candidates)]

    def _legal(self) -> list[tuple[int, ...]]:
        found = [answer for answer in self._space.answers if len(answer) <= self.longest]
        if not found:
            shortest = min(map(len, self._space.answers))
            raise ConfigError(f"max_answer: expected at least {shortest} symbols, got {self._task.max_answer}")
        return found

    def _words(self, answer: tuple[int, ...]) -> Words:
        return self._space.words(answer, self._task)

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


def written_shares(written: Sequence[ScoredAnswer]) -> list[tuple[float, float | None]]:
    """The probability of each written answer; that of the wanted one is not known."""
    return [(next(iter(one.scores.values())), None) for one in written]


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
