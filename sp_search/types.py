"""Records that cross rooms: utterances as units, and what a trial tells of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

ParamValue = int | float | str | bool
Params = Mapping[str, ParamValue]
"""A trial's searched settings by name, as the search space wrote them."""

STATE_FILE, RIVAL_FILE = "state.pt", "rival.safetensors"
"""In a trial's folder: what is saved of it, by the engine or for a rival, which asks no LM."""

SPECIALS = 4
"""fairseq's first dictionary ids: `<s>` 0, `<pad>` 1, `</s>` 2, `<unk>` 3."""
SEPARATOR, PAD, EOS, UNK = range(SPECIALS)


@dataclass(frozen=True)
class Split:
    """The utterances of one split, column by column.

    tokens holds all source units behind one another as dictionary ids, without `<s>`; utterance i is
    tokens[offsets[i]:offsets[i + 1]]. answers[i] are the labels as written in the data, () where it has none.
    """

    name: str  # train, valid, test, or what predict was given
    ids: tuple[str, ...]  # (N,)
    tokens: npt.NDArray[np.int32]  # (total units,)
    offsets: npt.NDArray[np.int64]  # (N + 1,)
    answers: tuple[tuple[str, ...], ...]  # (N,)
    form: str = ""  # of the file that it was read from: `train.jsonl.gz: JSON lines, 23,132 utterances`

    def __len__(self) -> int:
        return len(self.ids)

    def source(self, i: int) -> npt.NDArray[np.int32]:
        """The units of utterance i as dictionary ids, a view."""
        return self.tokens[self.offsets[i] : self.offsets[i + 1]]

    def take(self, chosen: npt.NDArray[np.int64]) -> Split:
        """The chosen utterances as a split, in the order given; at least one."""
        sources = [self.source(int(i)) for i in chosen]
        return Split(
            name=self.name,
            ids=tuple(self.ids[i] for i in chosen),
            tokens=np.concatenate(sources),
            offsets=np.concatenate([[0], np.cumsum([len(source) for source in sources])]).astype(np.int64),
            answers=tuple(self.answers[i] for i in chosen),
            form=self.form,
        )


@dataclass(frozen=True)
class Corpus:
    """A labelled corpus in units, with what is needed to recognise it again."""

    name: str
    splits: Mapping[str, Split]  # train, valid, test
    fingerprint: str  # sha256 over units and labels of every split, hex


@dataclass(frozen=True)
class Report:
    """What a trial tells at a report point."""

    utterances_seen: int  # training utterances since the trial's first update
    metrics: Mapping[str, float]  # valid_accuracy, valid_loss (nats per scored unit), train_loss, ...
    diverged: str = ""  # why the trial can't go on, else empty


@dataclass(frozen=True)
class Answered:
    """The answer to one utterance, and how likely it was taken to be."""

    words: tuple[str, ...]
    score: float | None  # its probability: among all legal answers, or as it was written; None where not known
    right: float | None  # that of the wanted answer; None where answers are written or the wanted one is not legal


@dataclass(frozen=True, kw_only=True)
class Member:
    """A trained state among those that answer together. One alone has a share of 1."""

    share: float  # weight of its log-probabilities; those of all members sum to 1
    trial: int  # whose setting it was trained with
    seed: int  # of its initialisation and dropout
    params: Params
    budget: int  # training utterances of its full run, over which its learning rate decays
    state: Path  # folder of its saved state
