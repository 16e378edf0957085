"""What a corpus in audio holds, as far as it shows without decoding a sample: lengths, rates, faults."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sp_search.errors import DataError
from sp_search.units.audio import AudioHead, read_head
from sp_search.units.manifest import SPLITS
from sp_search.units.recordings import Recording

AT_ONCE = 8
"""Files that are opened at once: on a network's disk each takes some milliseconds."""
SPEAKER = "speaker"
"""The column that says who speaks."""


@dataclass(frozen=True)
class Lengths:
    """How many utterances a split has, and how long they are."""

    utterances: int
    seconds: float  # of all whose length is known
    shortest_s: float  # 0 where no length is known, as the two below
    median_s: float
    longest_s: float


@dataclass(frozen=True)
class Survey:
    """What there is."""

    recordings: tuple[Recording, ...]  # those whose file can be opened
    splits: Mapping[str, Lengths]
    files: Mapping[tuple[int, int], int]  # how many files have a rate (Hz) and a number of channels
    faults: tuple[str, ...]  # of files, each with the line or the id of its recording
    in_two_splits: tuple[Path, ...]  # files of which two splits have a part
    speakers_heard: tuple[str, ...]  # of valid and test, whom training has too


def survey(recordings: Sequence[Recording]) -> Survey:
    """Open every file of a corpus once, and count."""
    paths = list(dict.fromkeys(recording.path for recording in recordings))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        heads = dict(zip(paths, pool.map(_head, paths), strict=True))
    seconds: dict[str, list[float]] = {split: [] for split in SPLITS}
    good: list[Recording] = []
    faults: list[str] = []
    for recording in recordings:
        head = heads[recording.path]
        fault = head if isinstance(head, str) else _stretch_fault(recording, head)
        if fault:
            faults.append(f"line {recording.line}: {fault}" if recording.line else f"{recording.id}: {fault}")
            continue
        good.append(recording)
        assert isinstance(head, AudioHead)
        if (length := _length(recording, head)) is not None:
            seconds[recording.split].append(length)
    return Survey(
        recordings=tuple(good),
        splits={split: _lengths(sum(r.split == split for r in good), seconds[split]) for split in SPLITS},
        files=Counter((head.rate, head.channels) for head in heads.values() if isinstance(head, AudioHead)),
        faults=tuple(faults),
        in_two_splits=_in_two_splits(good),
        speakers_heard=_speakers_heard(good),
    )


def _head(path: Path) -> AudioHead | str:
    """What a file tells, or why it can't be read."""
    try:
        return read_head(path)
    except DataError as error:
        return str(error)


def _stretch_fault(recording: Recording, head: AudioHead) -> str:
    if head.duration_s is None or recording.start_s < head.duration_s:
        return ""
    return f"{recording.path}: expected samples from {recording.start_s:g} s on, got a file of {head.duration_s:g} s"


def _length(recording: Recording, head: AudioHead) -> float | None:
    """Seconds of an utterance; None where its file does not tell."""
    if head.duration_s is None:
        return recording.duration_s
    there = head.duration_s - recording.start_s
    return there if recording.duration_s is None else min(there, recording.duration_s)


def _lengths(utterances: int, seconds: list[float]) -> Lengths:
    if not seconds:
        return Lengths(utterances, 0.0, 0.0, 0.0, 0.0)
    return Lengths(utterances, sum(seconds), min(seconds), float(np.median(seconds)), max(seconds))


def _in_two_splits(recordings: Sequence[Recording]) -> tuple[Path, ...]:
    splits_of: dict[Path, set[str]] = {}
    for recording in recordings:
        splits_of.setdefault(recording.path, set()).add(recording.split)
    return tuple(path for path, splits in splits_of.items() if len(splits) > 1)


def _speakers_heard(recordings: Sequence[Recording]) -> tuple[str, ...]:
    of = {
        is_train: {
            r.fields[SPEAKER] for r in recordings if (r.split == "train") == is_train and r.fields.get(SPEAKER)
        }
        for is_train in (True, False)
    }
    return tuple(sorted(str(name) for name in of[True] & of[False]))
