"""A labelled corpus in units, in any of four forms, compressed or not, told apart by content.

`units <s> labels`, `name|units|labels`, JSON lines, or a fairseq data-bin folder. A folder holds one file a split.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from sp_search.errors import DataError
from sp_search.files.json_line import LineError
from sp_search.files.paths import check_folder
from sp_search.files.text import text_lines
from sp_search.types import Corpus, Split
from sp_search.units.databin import databin_units, read_databin
from sp_search.units.dictionary import Dictionary
from sp_search.units.line_forms import LABELS, Line
from sp_search.units.lines import CorpusForm, LineReader
from sp_search.units.unit_faults import known_in

SPLITS = ("train", "valid", "test")
BESIDE = ("meta.json", "quantizer.safetensors")
"""What says how a corpus's units were made."""
DATABIN = "fairseq data-bin"


def load_corpus(
    folder: Path, dictionary: Dictionary, name: str, *, train_utterances: int = 0, field: str = LABELS
) -> Corpus:
    """Read the train, valid and test split of a folder.

    Args:
        folder: of the splits.
        dictionary: of the units.
        name: what to call the corpus.
        train_utterances: kept of the training split, always the same ones, in their order, and among those of every
            greater number; 0, or more than there are, keeps all. The fingerprint is that of what is kept.
        field: where JSON lines have their labels; lines with null there are left out.

    Raises:
        DataError: a split is missing or there twice, or its file is bad.
    """
    check_folder(folder, "a folder with train, valid and test files")
    splits = {split: read_split(split_file(folder, split), dictionary, split, field) for split in SPLITS}
    if 0 < train_utterances < (there := len(splits["train"])):
        drawn = np.random.default_rng(0).permutation(there)[:train_utterances]
        splits["train"] = splits["train"].take(np.sort(drawn))
    return Corpus(name, splits, corpus_fingerprint(splits))


def split_file(folder: Path, split: str) -> Path:
    """The one file of a split in a folder or in its `data-bin`: `train.txt`, `train.jsonl.gz`, `train.idx`, ...

    Raises:
        DataError: there is none, or more than one.
    """
    places = [folder, folder / "data-bin"]
    for place in places:
        found = sorted(p for p in place.glob(f"{split}*") if p.name.split(".")[0] == split and p.suffix != ".bin")
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(p.name for p in found)
            raise DataError(f"{place}: expected one file of the {split} split, got {names}")
    raise DataError(
        f"{folder}: expected a file of the {split} split ({split}.txt, .jsonl, .idx, also compressed), found none"
    )


def files_of(folder: Path) -> dict[str, Path]:
    """The files from which a corpus is loaded, by their places in its folder: another machine needs no more.

    Raises:
        DataError: a split is missing or there twice.
    """
    check_folder(folder, "a folder with train, valid and test files")
    splits = [split_file(folder, split) for split in SPLITS]
    files = [*splits, *(file.with_suffix(".bin") for file in splits if file.suffix == ".idx")]
    beside = [*(folder / name for name in BESIDE), *{file.parent / "dict.txt" for file in splits}]
    return {str(file.relative_to(folder)): file for file in (*files, *(file for file in beside if file.is_file()))}


def read_split(path: Path, dictionary: Dictionary, name: str, field: str = LABELS) -> Split:
    """Read a labelled split; every unit goes through the dictionary.

    Raises:
        DataError: the file can't be read, or lines are bad; all are counted, the first ten named.
    """
    known = known_in(dictionary)
    if path.suffix == ".idx":
        lines, form = read_databin(path), DATABIN
        for number, line in enumerate(lines, 1):
            for unit in line.units:
                _check_known(unit, known, f"{path} sequence {number}")
    else:
        reader = LineReader(text_lines(path), str(path), known, labelled=True, field=field)
        lines, form = list(reader), reader.form
    return _split(lines, dictionary, name, CorpusForm(path.name, form, len(lines)))


def read_units(lines: Iterable[str], dictionary: Dictionary, place: str) -> Split:
    """Utterances to answer, in any of the line forms, labelled or not; raises as `read_split`."""
    reader = LineReader(lines, place, known_in(dictionary), labelled=False)
    found = list(reader)
    return _split(found, dictionary, place, CorpusForm(place, reader.form, len(found)))


def forms_said(corpus: Corpus) -> list[str]:
    """A line for each split, to be said on stderr: `data: train.jsonl.gz: JSON lines, 23,132 utterances`."""
    return [f"data: {split.form}" for split in corpus.splits.values() if split.form]


class UtteranceReader:
    """The units of every utterance of a file in any of the forms, labelled or not, one by one."""

    def __init__(self, path: Path, known: Callable[[str], bool]) -> None:
        """Read the file of one split, once.

        Args:
            path: of the file.
            known: whether a unit may be there; it may raise a LineError that says more.
        """
        self._path, self._known = path, known
        self._form = ""
        self._count = 0

    def __iter__(self) -> Iterator[tuple[str, ...]]:
        """The utterances; raises as `read_split`, but only after the last one: what came before is not to be used."""
        if self._path.suffix == ".idx":
            self._form = DATABIN
            for units in databin_units(self._path):
                self._count += 1
                for unit in units:
                    _check_known(unit, self._known, f"{self._path} sequence {self._count}")
                yield units
            return
        reader = LineReader(text_lines(self._path), str(self._path), self._known, labelled=False)
        for line in reader:
            self._count += 1
            yield line.units
        self._form = reader.form

    @property
    def form(self) -> CorpusForm:
        """What the file was taken for, known once all of it has been read."""
        return CorpusForm(self._path.name, self._form, self._count)


def corpus_fingerprint(splits: Mapping[str, Split]) -> str:
    """sha256 over units and labels of all splits, whatever the file form; ids have no part in it."""
    digest = hashlib.sha256()
    for name in sorted(splits):
        split = splits[name]
        digest.update(name.encode())
        digest.update(split.tokens.astype("<i4").tobytes())
        digest.update(split.offsets.astype("<i8").tobytes())
        digest.update("\n".join(" ".join(answer) for answer in split.answers).encode())
    return digest.hexdigest()


def _split(lines: list[Line], dictionary: Dictionary, name: str, form: CorpusForm) -> Split:
    lengths = np.array([len(line.units) for line in lines], dtype=np.int64)
    return Split(
        name=name,
        ids=tuple(line.id for line in lines),
        tokens=dictionary.encode(unit for line in lines for unit in line.units),
        offsets=np.concatenate([[0], lengths.cumsum()]).astype(np.int64),
        answers=tuple(line.labels or () for line in lines),
        form=str(form),
    )


def _check_known(unit: str, known: Callable[[str], bool], place: str) -> None:
    try:
        if known(unit):
            return
    except LineError as error:
        raise DataError(f"{place}: {error}") from error
    raise DataError(f"{place}: expected units of the dictionary, got {unit!r}")
