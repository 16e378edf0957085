"""lhotse's manifests, as its recipes write them: JSON lines, gzipped or not, read without lhotse.

A folder has for each part `NAME_recordings_PART` and `NAME_supervisions_PART`, or `NAME_cuts_PART`. The answer is
`custom.labels`, or `custom.frames` as the recipe `slu` has it; a keyword, where NAME is that of the recipe
`speechcommands`; else the text's characters. A relative path is seen from the current folder, as lhotse sees it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sp_search.errors import DataError
from sp_search.files.json_line import LineError
from sp_search.files.paths import user_path
from sp_search.files.text import numbered
from sp_search.units.corpora.librispeech import PARTS
from sp_search.units.corpora.speech_commands import keyword
from sp_search.units.manifest import SPLITS
from sp_search.units.recordings import Recording, gather, json_rows, labels_of, seconds, spell

SPLIT_OF = {**{split: split for split in SPLITS}, "dev": "valid", **PARTS}
"""Which split a part is; parts of other names are left alone."""
FILE = re.compile(r"(.+)_(supervisions|cuts)_(.+)\.jsonl(\.\w+)?")


def read_lhotse(folder: Path, characters: str) -> list[Recording]:
    """Its supervisions, an utterance each.

    Raises:
        DataError: no part is there, a file of a part is absent, or lines are bad or ask for what is not done here:
            transforms, audio that is not in files, some of several channels, cuts of other than one supervision.
    """
    found = []
    for path in sorted(folder.glob("*.jsonl*")):
        named = FILE.fullmatch(path.name)
        if named is None or named[3] not in SPLIT_OF:
            continue
        name, kind, part, _ = named.groups()
        of_cuts = kind == "cuts"
        audio = {} if of_cuts else _recordings(path.with_name(path.name.replace("_supervisions_", "_recordings_", 1)))

        def recording(
            row: Any, _: int, split: str = SPLIT_OF[part], cut: bool = of_cuts,
            audio: Mapping[str, Any] = audio, keywords: bool = name.startswith("speechcommands"),
        ) -> Recording:  # fmt: skip
            try:
                place, said = _cut(row) if cut else _supervision(row, audio)
                text = said.get("text") or ""
                return Recording(
                    id=str(said["id"]),
                    split=split,
                    labels=_labels(said, text, characters, keywords),
                    text=text,
                    **place,
                )
            except (KeyError, TypeError, AttributeError) as error:
                raise LineError(f"expected lhotse's fields, got {type(error).__name__}: {error}") from error

        found += gather(_rows(path), str(path), recording)
    if not found:
        raise DataError(
            f"{folder}: expected NAME_supervisions_PART.jsonl.gz or NAME_cuts_PART.jsonl.gz of a part "
            f"{', '.join(SPLIT_OF)}, found none"
        )
    return found


def _recordings(path: Path) -> dict[str, Any]:
    return {str(row["id"]): row for _, row in _rows(path) if isinstance(row, Mapping) and "id" in row}


def _rows(path: Path) -> Iterator[tuple[int, Any]]:
    for number, row in json_rows(numbered(path)):
        if isinstance(row, LineError):
            raise DataError(f"{path} line {number}: {row}") from row
        yield number, row


def _supervision(row: Mapping[str, Any], audio: Mapping[str, Any]) -> tuple[dict[str, Any], Mapping[str, Any]]:
    recording = audio.get(str(row["recording_id"]))
    if recording is None:
        raise LineError(f"expected a recording {row['recording_id']!r}, found none")
    return _place(recording, row["start"], row["duration"], row["channel"]), row


def _cut(row: Mapping[str, Any]) -> tuple[dict[str, Any], Mapping[str, Any]]:
    if row["type"] != "MonoCut" or len(row["supervisions"]) != 1:
        raise LineError(f"expected a MonoCut of one supervision, got a {row['type']} of {len(row['supervisions'])}")
    return _place(row["recording"], row["start"], row["duration"], row["channel"]), row["supervisions"][0]


def _place(recording: Mapping[str, Any], start: float, duration: float, channel: Any) -> dict[str, Any]:
    """Where the samples are; a stretch that is the whole file has no end, for lhotse rounds durations."""
    sources = recording["sources"]
    if recording.get("transforms") or len(sources) != 1 or sources[0]["type"] != "file":
        raise LineError("expected a recording in one file, without transforms, got another; save it as audio first")
    channels = sources[0]["channels"]
    if len(channels) > 1 and channel not in (None, channels):
        raise LineError(f"expected a supervision of all channels {channels}, got {channel}; save it as audio first")
    whole = start == 0 and abs(duration - recording["duration"]) < 1e-3
    return {
        "path": user_path(str(sources[0]["source"]), "source", LineError).absolute(),
        "start_s": seconds("start", start),
        "duration_s": None if whole else seconds("duration", duration, above_0=True),
    }


def _labels(said: Mapping[str, Any], text: str, characters: str, keywords: bool) -> tuple[str, ...]:
    custom = said.get("custom") or {}
    if given := custom.get("labels") or custom.get("frames"):
        return labels_of(given)
    return (keyword(text),) if keywords else spell(text, characters)
