"""Audio SNIPS as SUPERB lays it out: `{train,valid,test}/SPEAKER-snips-*.wav` and `all.iob.snips.txt`.

A line of the latter is `ID BOS word word EOS<tab>O type O intent`: a slot type or O for BOS and each word, the intent
for EOS. SUPERB's speakers, who differ between the splits, are taken, others are left alone (s3prl, `downstream/ctc`).
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from pathlib import Path

from sp_search.errors import DataError
from sp_search.files.json_line import LineError
from sp_search.files.text import numbered
from sp_search.units.lines import SHOWN_FAULTS
from sp_search.units.manifest import SPLITS
from sp_search.units.recordings import BLANK, Recording, gather, spell

TEXTS = "all.iob.snips.txt"
SPEAKERS = {
    "train": {"Ivy", "Joanna", "Joey", "Justin", "Kendra", "Kimberly", "Matthew", "Salli"},
    "valid": {"Aditi", "Amy", "Geraint", "Nicole"},
    "test": {"Brian", "Emma", "Raveena", "Russell"},
}
SIGNS = "?!.,;-"
"""A word of these alone is not said; SUPERB leaves it out."""
OUTSIDE = "O"


def read_audio_snips(folder: Path, characters: str) -> list[Recording]:
    """Its utterances, the answer being the text's characters with a mark before and behind each slot's value.

    `text` holds the same in words: `PLAY B-artist MADONNA E-artist`.

    Raises:
        DataError: there is no audio or no text, or texts are bad.
    """
    texts = _texts(folder / TEXTS)
    paths = [(split, path) for split in SPLITS for path in sorted((folder / split).glob("*.wav"))]
    ours = [(split, path) for split, path in paths if path.name.partition("-")[0] in SPEAKERS[split]]
    if not ours:
        raise DataError(f"{folder}: expected train, valid and test with SPEAKER-snips-*.wav, found none")

    if lacking := [path.name for _, path in ours if path.stem not in texts]:
        some = ", ".join(lacking[:SHOWN_FAULTS])
        raise DataError(f"{folder / TEXTS}: expected a text of each file, found none of {len(lacking)}: {some}")

    def recording(row: tuple[str, Path], _: int) -> Recording:
        split, path = row
        labels, text = mark(texts[path.stem][1], characters)
        return Recording(id=path.stem, split=split, path=path, labels=labels, text=text, fields={"slots": text})

    return gather(((texts[path.stem][0], (split, path)) for split, path in ours), str(folder / TEXTS), recording)


def mark(line: str, characters: str) -> tuple[tuple[str, ...], str]:
    """`BOS play madonna EOS<tab>O O artist PlayMusic` as labels and as text.

    Raises:
        LineError: it is not of that form, or a word has a character outside.
    """
    parts = [part.split() for part in line.split("\t")]
    if len(parts) != 2 or len(parts[0]) != len(parts[1]) or len(parts[0]) < 3 or parts[0][0] != "BOS":
        raise LineError(f"expected `BOS words EOS<tab>as many tags`, got {line!r:.80}")
    labels: list[str] = []
    words: list[str] = []
    for tag, run in groupby(zip(*(part[1:-1] for part in parts), strict=True), key=lambda pair: pair[1]):
        said = [spell("AND" if word == "&" else word, characters) for word, _ in run if word not in SIGNS]
        if said:
            opening, closing = ([], []) if tag == OUTSIDE else ([f"B-{tag}"], [f"E-{tag}"])
            spelled = [character for word in said for character in (BLANK, *word)][1:]
            labels += [BLANK] * bool(labels) + opening + spelled + closing
            words += [*opening, *map("".join, said), *closing]
    if not labels:
        raise LineError(f"expected words between BOS and EOS, got {line!r:.80}")
    return tuple(labels), " ".join(words)


def _texts(path: Path) -> Mapping[str, tuple[int, str]]:
    """Line number and text by id."""
    lines = ((number, line.partition(" ")) for number, line in numbered(path))
    return {name: (number, text) for number, (name, _, text) in lines}
