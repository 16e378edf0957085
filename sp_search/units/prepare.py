"""A corpus in audio to a corpus in units: a folder that a search takes as its data.

`train.jsonl.gz`, `valid.jsonl.gz` and `test.jsonl.gz`, as far as the corpus has them, `quantizer.safetensors`, and
below `done/` what a later run with the same settings need not do again.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from sp_search.errors import CheckpointError, DataError
from sp_search.files.json_keys import RepeatedKeyError, json_document
from sp_search.files.write import atomic_write
from sp_search.published.pins import sha256_of
from sp_search.units.ledger import Ledger, recording_key
from sp_search.units.manifest import SPLITS
from sp_search.units.quantizer import Quantizer
from sp_search.units.recordings import Recording
from sp_search.units.unitizer import Heard

QUANTIZER, META = "quantizer.safetensors", "meta.json"
DONE = "done"
"""The folder of what need not be done again."""
Hear = Callable[[Iterable[tuple[str, Recording]]], Iterator[Heard]]
"""Turns recordings into units, in any order: in processes here, or in actors on a cluster."""


class Listener(Protocol):
    """Is told how far it is."""

    def begin(self, what: str, total: int, done: int) -> None:
        """So many utterances, of which so many were done before."""

    def advance(self, fault: str) -> None:
        """One more; the fault is empty where it could be read."""

    def end(self) -> None:
        """No more come."""


@dataclass(frozen=True)
class Prepared:
    """What was written."""

    utterances: dict[str, int]  # by split
    files: dict[str, str]  # sha256 by name
    unreadable: list[tuple[str, str]]  # ids and why, in the corpus's order


def prepare(
    recordings: Sequence[Recording], quantizer: Quantizer, folder: Path, hear: Hear, listener: Listener
) -> Prepared:
    """Turn what is not done yet into units, then write every split and the quantizer.

    Args:
        recordings: the corpus.
        quantizer: what makes units of frames.
        folder: where to; made when absent.
        hear: does the work.
        listener: is told.

    Raises:
        DataError: not one utterance could be read; or as `hear` raises it.
    """
    keyed = [(recording_key(recording), recording) for recording in recordings]
    ledger = Ledger(folder / DONE / f"{quantizer.fingerprint[:32]}.jsonl")
    try:
        faults = _hear_rest(keyed, ledger, hear, listener)
        readable = [(key, recording) for key, recording in keyed if key not in faults]
        if not readable:
            why = next(iter(faults.values()))
            raise DataError(f"{folder}: expected at least one utterance that can be read, got none; {why}")
        quantizer.save(folder / QUANTIZER)
        utterances = {split: sum(recording.split == split for _, recording in readable) for split in SPLITS}
        files = {}
        for split in SPLITS:
            path = folder / f"{split}.jsonl.gz"
            if utterances[split]:
                files[path.name] = _write_split(path, split, readable, ledger)
            else:
                path.unlink(missing_ok=True)  # of another corpus
    finally:
        ledger.close()
    return Prepared(utterances, files, [(recording.id, faults[key]) for key, recording in keyed if key in faults])


def columns_of(recordings: Sequence[Recording]) -> list[str]:
    """The answers that a corpus has beside labels, by the names of JSON lines: text, keyword, emotion, ..."""
    names = dict.fromkeys(name for recording in recordings for name, value in recording.fields.items() if value)
    return [*(["text"] if any(recording.text for recording in recordings) else []), *names]


def answers(recording: Recording, columns: Sequence[str]) -> dict[str, Any]:
    """The answers of one utterance, as a JSON line has them; null says that it is of other tasks."""
    others = {"text": recording.text or None, **recording.fields}
    return {"labels": recording.labels or None, **{name: others.get(name) for name in columns}}


def quantizer_in(folder: Path) -> Quantizer | None:
    """The quantizer that made a corpus's units; None where the folder is not a prepared one and so names none.

    Raises:
        CheckpointError: it is damaged, or is not the one that `meta.json` names, as when a second run was cut off; or
            as `meta_in`.
    """
    named = meta_in(folder).get("quantizer_fingerprint")
    if not isinstance(named, str):
        return None
    quantizer = Quantizer.load(folder / QUANTIZER)
    if quantizer.fingerprint != named:
        raise CheckpointError(
            f"{folder / QUANTIZER}: expected the quantizer that {META} names ({named:.12}...), got "
            f"{quantizer.fingerprint[:12]}...; run sp-search prepare to its end"
        )
    return quantizer


def meta_in(folder: Path) -> Mapping[str, Any]:
    """The `meta.json` of a corpus or an LM; {} where there is none, or a file of another kind.

    Raises:
        CheckpointError: it has a key twice, so that one of two values would be lost.
    """
    try:
        meta = json_document((folder / META).read_bytes())
    except RepeatedKeyError as error:
        raise CheckpointError(f"{folder / META} {error}; take the wrong one out") from error
    except (OSError, ValueError):
        return {}
    return meta if isinstance(meta, dict) else {}


def _hear_rest(keyed: list[tuple[str, Recording]], ledger: Ledger, hear: Hear, listener: Listener) -> dict[str, str]:
    """Write what is not in the ledger yet into it; returns why what can't be read can't, by key."""
    faults: dict[str, str] = {}
    waiting = {key: recording for key, recording in keyed if key not in ledger}
    total = len({key for key, _ in keyed})  # two utterances of the same samples are heard once
    listener.begin("units", total, total - len(waiting))
    for heard in hear(waiting.items()):
        if heard.fault:
            faults[heard.key] = heard.fault
        else:
            ledger.add(heard)
        listener.advance(heard.fault)
    listener.end()
    return faults


def _write_split(path: Path, split: str, readable: list[tuple[str, Recording]], ledger: Ledger) -> str:
    """JSON lines, gzipped without a time stamp: the same corpus gives the same bytes, whose sha256 is returned."""
    columns = columns_of([recording for _, recording in readable])
    with (
        atomic_write(path) as unfinished,
        unfinished.open("wb") as raw,
        gzip.GzipFile("", "wb", mtime=0, fileobj=raw) as file,
    ):
        for key, recording in readable:
            if recording.split == split:
                record = {"id": recording.id, "units": ledger.units(key), **answers(recording, columns)}
                file.write((json.dumps(record, ensure_ascii=False) + "\n").encode())
    return sha256_of(path)
