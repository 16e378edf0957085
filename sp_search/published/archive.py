"""The members of a published archive as a folder, and nothing else that is in it.

The folder lies beside the place of the archive, named like it without its ending. The archive itself goes once it is
unpacked, for it would take the room twice; its pin stays.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from sp_search.errors import DownloadError
from sp_search.published.catalogue import PublishedFile, PublishedLM
from sp_search.published.download import alone, cannot_keep, fetch, place_of
from sp_search.published.pins import PIN, wrong_content
from sp_search.published.unpack import untar, unzip


def fetch_lm(lm: PublishedLM, cache: Path) -> Path:
    """The folder of a published LM, once it is there and as it was at first.

    Raises:
        DownloadError: a file of it can't be had or unpacked, or has changed since.
    """
    if lm.members:
        return fetch_members(lm.files[0], lm.members, cache)
    config, *_ = [fetch(file, cache) for file in lm.files]
    return config.parent


def fetch_members(file: PublishedFile, names: Sequence[str], cache: Path) -> Path:
    """The folder with the named members, once they are there and as they were when unpacked.

    Args:
        file: a gzipped tar, or a zip.
        names: of members; those with a `*` stand for any number of them, also none.
        cache: where it is kept.

    Raises:
        DownloadError: the archive can't be had or unpacked, or a member has changed since.
    """
    archive = place_of(file, cache)
    folder = archive.with_name(archive.name.removesuffix(archive.suffix))
    try:
        if not folder.exists():
            with alone(folder):
                if not folder.exists():
                    _unpack_beside(fetch(file, cache), names, folder)
        for path in _members_in(folder, names):
            member = PublishedFile(file.url)  # its sha256 is pinned when it is unpacked
            wrong = wrong_content(path, path, member) if path.exists() else "expected the unpacked file, found none"
            if wrong:
                raise DownloadError(f"{path}: {wrong}; remove {folder} to download it again")
    except OSError as error:
        raise cannot_keep(folder, error) from error
    return folder


def _members_in(folder: Path, names: Sequence[str]) -> list[Path]:
    """The members that must be in an unpacked folder: those that are named, and those that were there once."""
    pinned = {pin.name.removesuffix(PIN) for pin in folder.glob(f"*{PIN}")}
    there = {path.name for name in names for path in folder.glob(name)}
    return [folder / name for name in sorted({name for name in names if "*" not in name} | pinned | there)]


def _unpack_beside(archive: Path, names: Sequence[str], folder: Path) -> None:
    unfinished = folder.with_name(f"{folder.name}.unpacking")
    shutil.rmtree(unfinished, ignore_errors=True)  # of a process that was killed
    try:
        (unzip if archive.suffix == ".zip" else untar)(archive, names, unfinished)
        unfinished.replace(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    archive.unlink()
