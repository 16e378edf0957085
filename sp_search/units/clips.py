"""Audio that is to be answered: a file, those in a folder, or those that a text lists; its units, as lines.

A text that lists audio has one path a line, seen from the text's folder.
"""

from __future__ import annotations

import codecs
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from sp_search.errors import DataError
from sp_search.units.lines import SHOWN_FAULTS
from sp_search.units.manifest import GZIP_MAGIC
from sp_search.units.recordings import Recording
from sp_search.units.unitizer import UnitizerRecipe

ENDINGS = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".aif", ".aiff", ".au", ".caf", ".sph", ".w64")
"""What is audio in a folder of many things, and what a line that is a path may end with."""
HEAD = 4096
"""Bytes that tell text from audio."""
AT_ONCE = 16
"""Clips that are answered together: answers come while later clips are still to be heard."""


def clips_at(path: Path) -> list[Recording]:
    """The clip that a file is, or the clips in a folder and those below it; none where the file is text.

    Raises:
        DataError: there is nothing, or the folder has no audio.
    """
    if not path.is_dir():
        return [] if _is_text(path) else [_clip(path.name, path)]
    found = sorted(file for file in path.rglob("*") if file.suffix.lower() in ENDINGS and file.is_file())
    if not found:
        raise DataError(f"{path}: expected a folder with audio ({', '.join(ENDINGS)}), found none in it")
    return [_clip(file.relative_to(path).as_posix(), file) for file in found]


def listed_clips(text: io.StringIO, folder: Path) -> list[Recording]:
    """The clips that a text lists; none where its first line is no path of a file and does not end like one."""
    lines = [line for raw in text.getvalue().split("\n") if (line := raw.strip())]
    if not lines or not (lines[0].lower().endswith(ENDINGS) or _is_file(folder / lines[0])):
        return []
    return [_clip(line, folder / Path(line).expanduser()) for line in lines]


def unit_lines(recipe: UnitizerRecipe, clips: Sequence[Recording], place: str) -> Iterator[list[str]]:
    """A JSON line with id and units for each clip, some clips at a time, as soon as these are heard.

    Raises:
        CheckpointError: as `UnitizerRecipe` when called.
        DataError: clips could not be read; told behind the lines of all others.
    """
    unitize, faults = recipe(), []
    for start in range(0, len(clips), AT_ONCE):
        heard = [unitize(clip.id, clip) for clip in clips[start : start + AT_ONCE]]
        faults += [clip.fault for clip in heard if clip.fault]
        yield [json.dumps({"id": clip.key, "units": clip.units}) for clip in heard if not clip.fault]
    if faults:
        more = f" (and {len(faults) - SHOWN_FAULTS} more)" if len(faults) > SHOWN_FAULTS else ""
        shown = "; ".join(faults[:SHOWN_FAULTS])
        raise DataError(f"{place}: {len(faults)} of {len(clips)} audio files can't be read: {shown}{more}")


def _clip(name: str, path: Path) -> Recording:
    return Recording(id=name, split="", path=path, labels=())


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a line of units may be longer than a path can be
        return False


def _is_text(path: Path) -> bool:
    """Whether a file is text, or gzipped, as no audio is."""
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
    except OSError as error:
        raise DataError(f"{path}: expected unit lines or audio, got {error.strerror}") from error
    if head.startswith(GZIP_MAGIC):
        return True
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return b"\0" not in head
