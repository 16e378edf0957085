"""A folder of audio without a table: the table that it suggests, for a person to correct.

The split and the label of a file are read off the names of its folders: `train/glad/1.wav`, or `glad/1.wav`. Where no
folder is named like a split, one file in ten of each label is test and one valid.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from sp_search.errors import DataError
from sp_search.files.paths import user_path
from sp_search.files.write import write_text
from sp_search.units.clips import asked_at
from sp_search.units.recordings import Recording, label

COLUMNS = ("path", "split", "label")
NAMED_SPLITS: Mapping[str, str] = {
    "train": "train", "training": "train", "valid": "valid", "validation": "valid", "val": "valid", "dev": "valid",
    "test": "test", "testing": "test", "eval": "test",
}  # fmt: skip
SHOWN = 5
"""How many names of files a message has."""
ONE_IN = 10
"""Of the files of a label, one in so many is test, and as many are valid."""


@dataclass(frozen=True)
class FoundFile:
    """A row of the table."""

    path: Path
    split: str
    label: str  # "" where no folder tells it


@dataclass(frozen=True)
class AudioFolder:
    """What a folder suggests."""

    files: tuple[FoundFile, ...]
    drawn: bool  # no folder is named like a split, so the splits were drawn
    passed_over: int  # files that are no audio

    @property
    def labels(self) -> list[str]:
        """Those that folders tell, each once."""
        return sorted({file.label for file in self.files} - {""})

    @property
    def recordings(self) -> list[Recording]:
        """The files as a table would have them; the label may be absent yet."""
        return [
            Recording(id=str(file.path), split=file.split, path=file.path, labels=(), fields={"label": file.label})
            for file in self.files
        ]


def read_audio_folder(folder: Path) -> AudioFolder:
    """Look through a folder and all below it.

    Raises:
        DataError: it can't be read, has no audio, or has files in folders named like splits and others outside.
    """
    asked = asked_at(folder)
    parents = [PurePosixPath(clip.id).parts[:-1] for clip in asked.clips]
    named = [next((NAMED_SPLITS[part.lower()] for part in of if part.lower() in NAMED_SPLITS), "") for of in parents]
    labels = [_label(of) for of in parents]
    drawn = not any(named)
    if without := [clip.id for clip, split in zip(asked.clips, named, strict=True) if not split and not drawn]:
        more = f" and {len(without) - SHOWN} more" if len(without) > SHOWN else ""
        raise DataError(
            f"{folder}: expected all files in folders named train, valid or test, or none, got {len(without)} "
            f"outside of them: {', '.join(without[:SHOWN])}{more}; move them into one of these, or elsewhere"
        )
    splits = _drawn([clip.id for clip in asked.clips], labels) if drawn else named
    files = (FoundFile(clip.path, *row) for clip, *row in zip(asked.clips, splits, labels, strict=True))
    return AudioFolder(tuple(files), drawn, len(asked.passed_over))


def write_table(found: AudioFolder, path: Path) -> None:
    """Write the table; its paths start at its own folder.

    Raises:
        DataError: a file has a name that a table can't hold.
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for file in found.files:
        name = os.path.relpath(file.path, path.parent)
        user_path(name, "corpus", DataError)
        table.writerow((name, file.split, file.label))
    write_text(path, text.getvalue())


def _label(parents: Sequence[str]) -> str:
    """The name of the innermost folder that is no split."""
    return next((label(part) for part in reversed(parents) if part.lower() not in NAMED_SPLITS), "")


def _drawn(names: Sequence[str], labels: Sequence[str]) -> list[str]:
    """The split of each file, the same whenever it is drawn again; a label of three files is in every split."""
    splits = ["train"] * len(names)
    for one in set(labels):
        mine = [i for i, of in enumerate(labels) if of == one]
        mine.sort(key=lambda i: hashlib.sha256(names[i].encode(errors="surrogateescape")).digest())
        share = max(1, len(mine) // ONE_IN) if len(mine) >= 3 else 0
        for split, start in (("test", 0), ("valid", share)):
            for i in mine[start : start + share]:
                splits[i] = split
    return splits
