"""The members of a published archive as a folder, and nothing else that is in it.

The folder lies beside the place of the archive, named like it without its ending. The archive itself goes once it is
unpacked, for it would take the room twice; its pin stays.
"""

from __future__ import annotations

import gzip
import shutil
import tarfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from sp_search.errors import DownloadError
from sp_search.published.catalogue import PublishedFile
from sp_search.published.download import alone, cannot_keep, fetch, place_of
from sp_search.published.pins import wrong_content


def fetch_members(file: PublishedFile, names: Sequence[str], cache: Path) -> Path:
    """The folder with the named members, once they are there and as they were when unpacked.

    Raises:
        DownloadError: the archive can't be had or unpacked, or a member has changed since.
    """
    archive = place_of(file, cache)
    folder = archive.with_suffix("")
    try:
        if not folder.exists():
            with alone(folder):
                if not folder.exists():
                    _unpack_beside(fetch(file, cache), names, folder)
        for name in names:
            path, member = folder / name, PublishedFile(file.url)  # its sha256 is pinned when it is unpacked
            wrong = wrong_content(path, path, member) if path.exists() else "expected the unpacked file, found none"
            if wrong:
                raise DownloadError(f"{path}: {wrong}; remove {folder} to download it again")
    except OSError as error:
        raise cannot_keep(folder, error) from error
    return folder


def unpack(archive: Path, names: Sequence[str], folder: Path) -> None:
    """Put the named files of a gzipped tar into a new folder, wherever in the tar they lie.

    Raises:
        DownloadError: a member would lead out of a folder or is a device, a name is missing or there twice, or the
            archive is damaged. Members that are not asked for are never written.
    """
    whole, again = f"a tar with {', '.join(names)}", "remove it to download it again"
    found: set[str] = set()
    folder.mkdir(parents=True)
    try:
        with gzip.open(archive) as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
            for member in tar:
                tarfile.data_filter(member, str(folder))
                name = PurePosixPath(member.name).name
                if name in names and member.isreg():
                    if name in found:
                        raise DownloadError(f"{archive}: expected one {name}, got a second, {member.name}; {again}")
                    found.add(name)
                    tar.extract(member.replace(name=name, deep=False), folder, filter="data")
            while stream.read(1 << 20):  # a tar ends before its gzip does; at the end the checksum is compared
                pass
    except tarfile.FilterError as error:
        raise DownloadError(f"{archive}: expected {whole}, got {error}; nothing of it is used, {again}") from error
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise DownloadError(f"{archive}: expected {whole}, got {error or 'a damaged one'}; {again}") from error
    if missing := sorted(set(names) - found):
        raise DownloadError(f"{archive}: expected {whole}, found no {' and no '.join(missing)}; {again}")


def _unpack_beside(archive: Path, names: Sequence[str], folder: Path) -> None:
    unfinished = folder.with_name(f"{folder.name}.unpacking")
    shutil.rmtree(unfinished, ignore_errors=True)  # of a process that was killed
    try:
        unpack(archive, names, unfinished)
        unfinished.replace(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    archive.unlink()
