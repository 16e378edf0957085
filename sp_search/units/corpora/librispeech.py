"""LibriSpeech as its archives unpack: `PART/SPEAKER/CHAPTER/*.flac`, and the texts in `*.trans.txt` beside them."""

from __future__ import annotations

from pathlib import Path

from sp_search.errors import DataError
from sp_search.files.json_line import LineError
from sp_search.files.text import numbered
from sp_search.units.recordings import Recording, gather, spell

PARTS = {
    "train-clean-100": "train",
    "dev-clean": "valid",
    "test-clean": "test",
    "train-clean-5": "train",  # of Mini LibriSpeech
    "dev-clean-2": "valid",
}
"""The parts of the papers' 100 hours; others are left alone."""


def read_librispeech(folder: Path, characters: str) -> list[Recording]:
    """Its utterances, the answer being the text's characters.

    Raises:
        DataError: none of the parts is there, or texts are bad.
    """
    found = []
    for part, split in PARTS.items():
        for path in sorted((folder / part).glob("*/*/*.trans.txt")):

            def recording(line: str, number: int, split: str = split, place: Path = path.parent) -> Recording:
                name, _, text = line.strip().partition(" ")
                if not name or "/" in name:
                    raise LineError(f"expected `id TEXT`, got {line.strip()!r:.80}")
                labels = spell(text, characters)
                return Recording(id=name, split=split, path=place / f"{name}.flac", labels=labels, text=text)

            found += gather(numbered(path), str(path), recording)
    if not found:
        raise DataError(f"{folder}: expected folders {', '.join(PARTS)} with */*/*.trans.txt, found none")
    return found
