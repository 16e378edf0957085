"""What is to be answered: lines of units, or audio, a file, those in a folder, or those that a text lists.

A text that lists audio has one path a line, seen from the text's folder. Text and audio are told apart by content.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from glob import glob
from itertools import takewhile
from pathlib import Path
from typing import BinaryIO

from sp_search.errors import DataError
from sp_search.files.paths import is_there, reason, user_path
from sp_search.files.text import ByteSource, lines_of, open_source
from sp_search.units.lines import SHOWN_FAULTS
from sp_search.units.recordings import Recording
from sp_search.units.unitizer import Unitizer
from sp_search.units.whole_audio import is_audio

ENDINGS = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".aif", ".aiff", ".au", ".caf", ".sph", ".w64")
"""What is audio in a folder of many things, and what a line that is a path may end with."""
SIGNS = frozenset("*?[")
"""What makes a pattern of a path that is not there."""
AT_ONCE = 16
"""Clips that are answered together: answers come while later clips are still to be heard."""


@dataclass(frozen=True)
class Asked:
    """Lines of units, or clips."""

    lines: list[str] = field(default_factory=list)
    clips: list[Recording] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)  # names of files in a folder that are no audio


def asked_at(path: Path) -> Asked:
    """What a file, a folder or a pattern of files asks. A pipe is read once, from its first byte.

    Raises:
        DataError: there is nothing, it can't be read, or the folder has no audio.
    """
    if is_there(path, DataError) and path.is_dir():
        return _in_folder(path)
    if SIGNS & set(str(path)) and not path.exists():
        return asked_matching(str(path))
    source = open_source(path, "unit lines or audio")
    if source.is_text():
        return _of_text(source, path.parent)
    source.close()
    if not path.is_file():
        raise DataError(f"{path}: expected lines of units or of paths through a pipe, got audio; name its file")
    return Asked(clips=[_clip(path.name, path)])


def asked_matching(pattern: str) -> Asked:
    """The audio files that a pattern matches, as `clips/*.wav` or `clips/**/*.flac`; seen from the current folder.

    The id of a clip is its path below the pattern's last folder without a sign of a pattern in it: `a.wav`.

    Raises:
        DataError: no file matches, or one that does is no audio.
    """
    parts = Path(pattern).expanduser().parts
    fixed = Path(*takewhile(lambda part: not SIGNS & set(part), parts))
    found = [Path(name) for name in sorted(glob(os.path.expanduser(pattern), recursive=True)) if os.path.isfile(name)]
    if not found:
        raise DataError(f"{pattern}: expected audio files that this pattern matches, found none")
    if strangers := [_shown(path) for path in found if path.suffix.lower() not in ENDINGS and not is_audio(path)]:
        raise DataError(
            f"{pattern}: expected a pattern of audio files alone, got one that {strangers[0]} matches too"
        )
    return Asked(clips=[_clip(_shown(path.relative_to(fixed)), path) for path in found])


def asked_by(stream: BinaryIO, place: str) -> Asked:
    """What a stream asks, whose paths are seen from the current folder; DataError where it is no text."""
    return _of_text(ByteSource(stream, place), Path())


def listed_clips(lines: Sequence[str], folder: Path, place: str = "input") -> list[Recording]:
    """The clips that a text lists; none where its first line is no path of a file and does not end like one.

    Raises:
        DataError: a line is a path that no file can have.
    """
    listed = [(number, line) for number, raw in enumerate(lines, 1) if (line := raw.strip())]
    if not listed or not (listed[0][1].lower().endswith(ENDINGS) or _is_file(folder / listed[0][1])):
        return []
    return [_clip(line, folder / user_path(line, f"{place} line {number}", DataError)) for number, line in listed]


def unit_lines(recipe: Callable[[], Unitizer], clips: Sequence[Recording], place: str) -> Iterator[list[str]]:
    """A JSON line with id and units for each clip, some clips at a time, as soon as these are heard.

    Args:
        recipe: builds what makes the units, a `UnitizerRecipe` for one.
        clips: the audio.
        place: where they are from, for the message.

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


def _of_text(source: ByteSource, folder: Path) -> Asked:
    lines = list(lines_of(source))
    clips = listed_clips(lines, folder, source.place)
    return Asked(clips=clips) if clips else Asked(lines=lines)


def _in_folder(folder: Path) -> Asked:
    clips, passed_over = [], []
    for path in sorted(_files_below(folder)):
        name = _shown(path.relative_to(folder))
        if _is_file(path) and (path.suffix.lower() in ENDINGS or is_audio(path)):
            clips.append(_clip(name, path))
        else:
            passed_over.append(name)
    if not clips:
        raise DataError(f"{folder}: expected a folder with audio ({', '.join(ENDINGS)}), found none in it")
    return Asked(clips=clips, passed_over=passed_over)


def _shown(path: Path) -> str:
    """A path as text that can be printed; a name may be of bytes that are no UTF-8."""
    return os.fsencode(path.as_posix()).decode(errors="backslashreplace")


def _files_below(folder: Path) -> Iterator[Path]:
    """All files, through links to folders too, but through no folder twice: a link may lead back up."""
    seen: set[tuple[int, int]] = set()
    for place, folders, names in os.walk(folder, followlinks=True, onerror=_refuse):
        try:
            state = os.stat(place)
        except OSError as error:
            _refuse(error)
        if (state.st_dev, state.st_ino) in seen:
            folders.clear()
            continue
        seen.add((state.st_dev, state.st_ino))
        folders.sort()
        yield from (Path(place) / name for name in names)


def _refuse(error: OSError) -> None:
    raise DataError(f"{error.filename}: expected a folder that can be read, got {reason(error)}") from error


def _clip(name: str, path: Path) -> Recording:
    return Recording(id=name, split="", path=path, labels=())


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a line of units may be longer than a path can be
        return False
