"""Says at once that a study is finished, where the same command was run to its end before and nothing has changed.

A search that ended leaves a mark: the sha256 of its settings, which may hold a password, size and time of change of
the files that it read, and the size of the study's journal. Where all of them are as they were, the answer needs
neither LM nor corpus, nor torch or Ray. Anything else is for the search itself, which compares fingerprints.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any, Literal, get_type_hints

from sp_search.cli.settings.compose import load_settings
from sp_search.cli.settings.reads import OF_SEARCH
from sp_search.config import Settings
from sp_search.files.paths import is_there
from sp_search.files.write import write_text
from sp_search.message import say
from sp_search.report.comparison import read_summary
from sp_search.search.ui.words import ending

MARK, JOURNAL = "finished.json", "journal.log"
SHOWN_ONLY = ("log", "quiet", "tracking")
"""Settings that change nothing in a study."""


@dataclass(frozen=True, kw_only=True)
class SearchCommand(Settings):
    """What is shown of the search on stderr."""

    log: Literal["text", "json"] = "text"  # json: an object a line for a program, on a terminal too
    quiet: bool = False  # show nothing but warnings


def answered(overrides: Sequence[str]) -> int | None:
    """Answer the command `search` if its study is finished: the exit code. None if the search itself must look.

    Raises:
        ConfigError: a setting is wrong, or a file may not be looked at.
    """
    config = load_settings(overrides, SearchCommand)
    folder = config.runs / config.study
    path = folder / "summary.json"
    if not is_there(folder / MARK) or not is_there(folder / "best" / "prompt.json"):
        return None
    summary, fault = read_summary(path, is_whole=True)
    if fault or _read(folder / MARK) != _mark(config):
        return None
    if not config.quiet and config.log == "text":
        for line in (f"study {config.study} is finished; raise trials= to go on with it", *ending(summary)):
            say(line)
    print(path)
    return 0


def finished_summary(folder: Path) -> Path | None:
    """The path of a finished study's summary; None if the summary or the winner's folder is missing or damaged."""
    path = folder / "summary.json"
    _, fault = read_summary(path, is_whole=True)
    return path if not fault and is_there(folder / "best" / "prompt.json") else None


def leave_mark(config: SearchCommand) -> None:
    """Leave the mark of a search that has ended."""
    write_text(config.runs / config.study / MARK, json.dumps(_mark(config)) + "\n")


def _mark(config: SearchCommand) -> dict[str, Any]:
    known = [name for name in get_type_hints(type(config)) if name in OF_SEARCH and name not in SHOWN_ONLY]
    values = {name: getattr(config, name) for name in known}
    settings = {
        name: asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
        for name, value in values.items()
    }
    files = {str(path): _state(path) for path in (config.runs / config.study / JOURNAL, *_inputs(config))}
    digest = hashlib.sha256(json.dumps(settings, default=str).encode()).hexdigest()
    return json.loads(json.dumps({"settings": digest, "files": files}))


def _inputs(config: SearchCommand) -> Iterator[Path]:
    """The files that the search reads."""
    for place in (config.lm.path, config.data.path):
        if place is not None and is_there(place) and place.is_dir():
            yield from (path for path in sorted(place.rglob("*")) if is_there(path) and path.is_file())
        elif place is not None:
            yield place


def _state(path: Path) -> list[int] | None:
    """Size and time of change, which say together whether a file is the same; None where there is none."""
    if not is_there(path):
        return None
    found = path.stat()
    return [found.st_size, found.st_mtime_ns]


def _read(path: Path) -> Mapping[str, Any] | None:
    """The mark in a file; None where the file is damaged, so that the search itself looks."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
