"""Utterances in units to what fairseq trains on: `train`, `valid` and `dict.txt` in one folder."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache, partial
from operator import eq
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sp_search.errors import DataError
from sp_search.files.json_line import LineError
from sp_search.files.write import write_text
from sp_search.published.pins import sha256_of
from sp_search.types import EOS, SPECIALS
from sp_search.units.dictionary import Dictionary
from sp_search.units.manifest import UtteranceReader
from sp_search.units.unit_faults import cause, known_in, shown

LARGEST_NUMBER = 9999
NUMBER = re.compile(r"0|[1-9]\d{0,3}", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where the utterances are, and what their units are."""

    train: Path  # a file in any form of a corpus, labelled or not
    valid: Path | None  # another one; None draws a share of train
    valid_share: float  # of train's utterances, where valid is None; 0 < valid_share < 1
    dictionary: Dictionary | None  # None: units are numbers, and unit u has id u + 4


@dataclass(frozen=True)
class UnitData:
    """What was written."""

    units: int
    utterances: dict[str, int]  # by split
    tokens: dict[str, int]  # units, `</s>` included, by split
    cut: int  # utterances that were too long for one sequence
    forms: list[str]  # what each file was taken for: `train.txt: units <s> labels, 60 utterances`
    repeats: dict[str, float]  # share of neighbouring units that are the same unit, by split; 0 where reduced
    fingerprint: str  # sha256 over all files, hex


@dataclass
class _Split:
    """A split on its way into fairseq's binary form."""

    builder: Any
    longest: int  # units of a sequence
    utterances: int = 0
    cut: int = 0
    pairs: int = 0  # of neighbouring units
    repeats: int = 0  # pairs of one unit twice
    counts: Counter[int] = field(default_factory=Counter)  # of ids

    def add(self, ids: list[int]) -> None:
        """Write an utterance, in as many sequences as it takes."""
        for start in range(0, len(ids), self.longest):
            piece = ids[start : start + self.longest]
            self.builder.add_item(torch.tensor([*piece, EOS]))
            self.counts.update(piece)
            self.counts[EOS] += 1
        self.utterances += 1
        self.cut += len(ids) > self.longest
        self.pairs += max(0, len(ids) - 1)
        self.repeats += sum(map(eq, ids, ids[1:]))


def write_databin(folder: Path, source: Source, *, max_positions: int, seed: int) -> UnitData:
    """Write a folder that fairseq's `language_modeling` task takes as its data.

    An utterance longer than a sequence may be is cut; each piece is a sequence of its own.

    Args:
        folder: to write; what is in it is overwritten.
        source: the utterances.
        max_positions: longest sequence, `</s>` included.
        seed: of the utterances drawn for valid.

    Raises:
        DataError: a file can't be read, its units are unknown, or there are utterances for one split alone.
    """
    from fairseq.data.indexed_dataset import make_builder

    folder.mkdir(parents=True, exist_ok=True)
    find: Callable[[str], int] = cache(partial(_id_in, source.dictionary) if source.dictionary else _id_of_number)
    size = len(source.dictionary) if source.dictionary else None
    train, valid = (
        _Split(make_builder(str(folder / f"{split}.bin"), "mmap", size), max_positions - 1)
        for split in ("train", "valid")
    )
    draw = np.random.default_rng(seed)
    forms: list[str] = []
    for ids in _ids(source.train, find, forms):
        drawn = source.valid is None and draw.random() < source.valid_share
        (valid if drawn else train).add(ids)
    for ids in _ids(source.valid, find, forms) if source.valid else ():
        valid.add(ids)
    if not train.utterances or not valid.utterances:
        raise DataError(
            f"{source.train}: expected utterances for both train and valid, got {train.utterances} and "
            f"{valid.utterances}; change valid_share=, or name a file with valid="
        )
    for split, name in ((train, "train"), (valid, "valid")):
        split.builder.finalize(str(folder / f"{name}.idx"))
    symbols = source.dictionary.symbols if source.dictionary else _numbers(train, valid)
    lines = (f"{symbol} {train.counts[index]}\n" for index, symbol in enumerate(symbols, SPECIALS))
    write_text(folder / "dict.txt", "".join(lines))
    return UnitData(
        units=len(symbols),
        utterances={"train": train.utterances, "valid": valid.utterances},
        tokens={"train": train.counts.total(), "valid": valid.counts.total()},
        cut=train.cut + valid.cut,
        forms=forms,
        repeats={name: split.repeats / max(1, split.pairs) for name, split in (("train", train), ("valid", valid))},
        fingerprint=_fingerprint(folder),
    )


def _ids(path: Path, find: Callable[[str], int], forms: list[str]) -> Iterable[list[int]]:
    """The ids of each utterance, and at the end the file's form; `find` raises a LineError for what is no unit."""
    reader = UtteranceReader(path, lambda unit: find(unit) >= SPECIALS)
    for units in reader:
        yield list(map(find, units))
    forms.append(str(reader.form))


def _id_in(dictionary: Dictionary, unit: str) -> int:
    known_in(dictionary)(unit)
    return int(dictionary.encode([unit])[0])


def _id_of_number(unit: str) -> int:
    if not NUMBER.fullmatch(unit):
        raise LineError(
            f"expected units as numbers from 0 to {LARGEST_NUMBER}, got {shown(unit)}{cause(unit, LARGEST_NUMBER)}; "
            f"others need dictionary=PATH"
        )
    return int(unit) + SPECIALS


def _numbers(*splits: _Split) -> tuple[str, ...]:
    """Every unit up to the largest seen: what is missing here may occur in a labelled corpus."""
    largest = max(max(split.counts) for split in splits)
    return tuple(str(unit) for unit in range(largest - SPECIALS + 1))


def _fingerprint(folder: Path) -> str:
    files = ("dict.txt", "train.bin", "train.idx", "valid.bin", "valid.idx")
    return hashlib.sha256("".join(sha256_of(folder / name) for name in files).encode()).hexdigest()
