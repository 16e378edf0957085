"""An exported folder at work: units in, an answer and its score out, or a score for every legal answer.

`evaluate` and `predict` both answer through this file, so they agree to the utterance.

N utterances
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from sp_search.engine.answer.evaluator import AnswerModel, ScoredAnswer
from sp_search.engine.answer.pool import pooled
from sp_search.engine.answer.recall import Recalled
from sp_search.engine.batch.collate import check_lengths
from sp_search.engine.runtime.device import DtypeName
from sp_search.engine.train.probe_trainer import probe_scores
from sp_search.engine.transformer.folded_weights import FoldedWeights
from sp_search.engine.trial.linear_probe import ProbeTensors
from sp_search.errors import CheckpointError, DataError
from sp_search.export.candidates import candidate_of, own_model
from sp_search.export.document import load_export, trained_in
from sp_search.export.folder import task_of
from sp_search.export.members import SavedMember, TrainedMember, members_in
from sp_search.export.shared_weights import SharedWeights
from sp_search.lm.unit_lm import UnitLM
from sp_search.rivals.rival import Rival
from sp_search.tasks.label_space import LabelSpace
from sp_search.types import Split
from sp_search.units.dictionary import Dictionary


@dataclass(frozen=True)
class Prediction:
    """The answer to one utterance."""

    id: str
    labels: tuple[str, ...]
    scores: Mapping[str, float]  # as `ScoredAnswer` has them, best first

    @property
    def score(self) -> float:
        """The share of the best answer, from 0 to 1."""
        return next(iter(self.scores.values()))

    @property
    def text(self) -> str:
        """The labels as one text."""
        return " ".join(self.labels)

    def to_json(self, top: int = 1) -> dict[str, Any]:
        """As `predict` prints it: the best answer and its score; for `top` above 1 that many scores, best first."""
        best = {"id": self.id, "labels": list(self.labels), "score": self.score}
        return best if top == 1 else {**best, "scores": dict(islice(self.scores.items(), top))}


class Scorer(Protocol):
    """Gives the members' log-probabilities of every legal answer: (members, N, answers), nats."""

    def __call__(self, split: Split, *, tokens_per_pass: int | None) -> Tensor: ...  # noqa: D102


class Answer(Protocol):
    """Gives every utterance's answer, in their order."""

    def __call__(self, split: Split, *, tokens_per_pass: int | None) -> list[ScoredAnswer]: ...  # noqa: D102


class Predictor:
    """Trained states at work on their LM: prompts, a fine-tuned LM, probes; several answer together."""

    def __init__(
        self, answer: Answer, *, longest: int, max_source_units: int, positions: int, prompt: int = 0
    ) -> None:
        """Join what `load_predictor` has checked.

        Args:
            answer: gives every utterance's answer, in their order; takes the source units of a pass.
            longest: symbols that an answer comes to at most.
            max_source_units: longest source that is looked at; 0 looks at all.
            positions: that the LM has.
            prompt: how many of them the longest prompt takes.
        """
        self._answer = answer
        self._longest = longest
        self._max_source_units = max_source_units
        self._positions, self._prompt = positions, prompt

    def predict(self, split: Split, tokens_per_pass: int | None = None) -> Iterator[Prediction]:
        """Answer utterances, in their order.

        Args:
            split: utterances; their own answers, where they have any, are not looked at.
            tokens_per_pass: source units computed at once. It changes the speed, and scores by rounding: those of one
                utterance differ by 2e-6 in float32 and by up to 0.014 in bfloat16 with the utterances around it.

        Raises:
            DataError: an utterance is longer than the LM has positions.
        """
        lengths = np.diff(split.offsets)
        if self._max_source_units:
            lengths = lengths.clip(max=self._max_source_units)
        check_lengths(lengths, self._longest, self._positions, split.name, prompt=self._prompt)
        answered = self._answer(split, tokens_per_pass=tokens_per_pass)
        for utterance, answer in zip(split.ids, answered, strict=True):
            yield Prediction(id=utterance, labels=answer.words, scores=answer.scores)


def load_predictor(
    folder: Path, lm: UnitLM, dictionary: Dictionary, *, device: torch.device, dtype: DtypeName
) -> tuple[Predictor, dict[str, Any]]:
    """An exported folder on its LM, and the folder's document.

    Args:
        folder: the export.
        lm: the one that it was trained on.
        dictionary: of that LM's units.
        device: where it answers.
        dtype: the arithmetic by name; auto is the one that it was trained in.

    Raises:
        CheckpointError: the folder is not whole, is of another version, or was made for another LM or other units.
    """
    return predictor_on(SharedWeights(lm, dictionary, device), folder, dtype)


def predictor_on(shared: SharedWeights, folder: Path, dtype: DtypeName) -> tuple[Predictor, dict[str, Any]]:
    """An exported folder on an LM that other prompts may use too, and the folder's document; as `load_predictor`."""
    lm, device = shared.lm, shared.device
    named, document = load_export(folder)
    check_partner(folder, "LM", document["lm"]["fingerprint"], lm.fingerprint)
    check_partner(folder, "unit dictionary", document["dictionary_fingerprint"], shared.dictionary.fingerprint)
    weights, source_cache = shared.folded(trained_in(document) if dtype == "auto" else dtype)
    on_device = {name: tensor.to(device) for name, tensor in named.items()}
    members = members_in(document, on_device, folder)
    space, task = LabelSpace.from_json(document["label_space"]), task_of(document)
    model = AnswerModel(weights, space, task, source_cache=source_cache)
    answer = _written(folder, members, model, lm) if model.writes else _chosen(folder, members, model, lm, weights)
    trained = [one.trained.settings for one in members if isinstance(one.trained, TrainedMember)]
    kept = [settings.max_source_units for settings in trained]
    prompts = [settings.prompt.positions for settings in trained if settings.prompt is not None]
    predictor = Predictor(
        answer,
        longest=model.longest,
        max_source_units=0 if 0 in kept else max(kept, default=0),
        positions=lm.architecture.max_positions if kept else sys.maxsize,  # a rival asks no LM
        prompt=max(prompts, default=0) if lm.architecture.prompts_take_positions else 0,
    )
    return predictor, document


def _chosen(
    folder: Path, members: Sequence[SavedMember], model: AnswerModel, lm: UnitLM, weights: FoldedWeights
) -> Answer:
    """The legal answer with the best weighted mean of the members' log-probabilities; prompts share passes."""
    scorers: list[tuple[list[float], Scorer]] = []
    prompts = [
        (one.share, one.trained)
        for one in members
        if isinstance(one.trained, TrainedMember) and one.trained.settings.method == "prompt"
    ]
    if prompts:
        candidates = [candidate_of(folder, of, of.tensors, model, lm) for _, of in prompts]
        scorers.append(([share for share, _ in prompts], partial(model.scores, candidates=candidates)))
    for member in members:
        if (scores := _scorer_of_one(folder, member.trained, model, lm, weights)) is not None:
            scorers.append(([member.share], scores))

    def answer(split: Split, *, tokens_per_pass: int | None) -> list[ScoredAnswer]:
        found = [
            pair
            for shares, scores in scorers
            for pair in zip(shares, scores(split, tokens_per_pass=tokens_per_pass), strict=True)
        ]
        return model.choose(pooled(found))

    return answer


def _scorer_of_one(
    folder: Path, trained: TrainedMember | Rival, model: AnswerModel, lm: UnitLM, weights: FoldedWeights
) -> Scorer | None:
    """What a member that shares no pass answers by; None for a prompt, which does."""
    if isinstance(trained, Rival):
        return _of_one(lambda split, _: torch.from_numpy(trained.scores(split, model.legal)))
    if trained.settings.method == "finetune":
        own, candidate = own_model(folder, trained, model, lm)
        return partial(own.scores, candidates=[candidate])
    if trained.settings.method == "probe":
        tensors = ProbeTensors.from_named(trained.tensors, str(folder))
        return _of_one(partial(probe_scores, weights, trained.settings, tensors))
    return None


def _written(folder: Path, members: Sequence[SavedMember], model: AnswerModel, lm: UnitLM) -> Answer:
    """What prompts write, with rivals among them; or one fine-tuned LM; or what a rival alone has heard before."""
    first = members[0].trained
    if isinstance(first, Rival):
        return lambda split, *, tokens_per_pass: _remembered(first, split)
    if first.settings.method == "finetune":
        if len(members) > 1:
            raise CheckpointError(f"{folder}: expected a fine-tuned LM that writes alone, got {len(members)} members")
        model, candidate = own_model(folder, first, model, lm)
        return partial(model.write, candidates=[candidate], shares=[1.0])
    trained = [(one.share, one.trained) for one in members if isinstance(one.trained, TrainedMember)]
    candidates = [candidate_of(folder, of, of.tensors, model, lm) for _, of in trained]
    rivals = [(one.share, one.trained) for one in members if isinstance(one.trained, Rival)]
    tables = [model.table_of(rival.legal) for _, rival in rivals]

    def answer(split: Split, *, tokens_per_pass: int | None) -> list[ScoredAnswer]:
        recalled = [
            Recalled(share, table, torch.from_numpy(rival.log_probs(split)).to(model.device))
            for (share, rival), table in zip(rivals, tables, strict=True)
        ]
        return model.write(split, candidates, [share for share, _ in trained], tokens_per_pass, recalled)

    return answer


def _remembered(rival: Rival, split: Split) -> list[ScoredAnswer]:
    """A rival's best answer to each utterance, and its probability."""
    log_probs = rival.log_probs(split)
    shares = np.exp(log_probs.max(axis=1))
    return [
        ScoredAnswer(words, {" ".join(words): float(f"{share:.6g}")})
        for words, share in zip(rival.named(log_probs), shares, strict=True)
    ]


def _of_one(scores: Callable[..., Tensor]) -> Scorer:
    """(N, answers) of one member to (1, N, answers)."""
    return lambda split, *, tokens_per_pass: scores(split, tokens_per_pass)[None]


def check_partner(folder: Path, kind: str, wanted: str, got: str) -> None:
    """Refuse an LM or dictionary that the prompt was not trained on.

    Raises:
        CheckpointError: the fingerprints differ.
    """
    if wanted != got:
        raise CheckpointError(
            f"{folder}: expected the {kind} it was trained on (fingerprint {wanted[:12]}), got {got[:12]}; "
            f"a prompt works on no other"
        )


def labelled_answers(split: Split) -> tuple[tuple[str, ...], ...]:
    """The answers of a split that must have them.

    Raises:
        DataError: an utterance has none.
    """
    for utterance, answer in zip(split.ids, split.answers, strict=True):
        if not answer:
            raise DataError(f"{split.name} utterance {utterance}: expected labels to compare with, got none")
    return split.answers
