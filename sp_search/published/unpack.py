"""The members of an archive that are asked for, put into a new folder by their bare names, and nothing else of it."""

from __future__ import annotations

import gzip
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from sp_search.errors import DownloadError

AGAIN = "remove it to download it again"


def untar(archive: Path, names: Sequence[str], folder: Path) -> None:
    """Put the named files of a gzipped tar into a new folder, wherever in the tar they lie.

    Args:
        archive: the file.
        names: of members; those with a `*` stand for any number of them, also none.
        folder: where to; made here.

    Raises:
        DownloadError: a member would lead out of a folder or is a device, a name is missing or there twice, or the
            archive is damaged. Members that are not asked for are never written.
    """
    found: set[str] = set()
    folder.mkdir(parents=True)
    try:
        with gzip.open(archive) as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
            for member in tar:
                tarfile.data_filter(member, str(folder))
                if member.isreg() and (name := _wanted(archive, member.name, names, found)):
                    tar.extract(member.replace(name=name, deep=False), folder, filter="data")
            while stream.read(1 << 20):  # a tar ends before its gzip does; at the end the checksum is compared
                pass
    except tarfile.FilterError as error:
        whole = _whole("tar", names)
        raise DownloadError(f"{archive}: expected {whole}, got {error}; nothing of it is used, {AGAIN}") from error
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise DownloadError(
            f"{archive}: expected {_whole('tar', names)}, got {error or 'a damaged one'}; {AGAIN}"
        ) from error
    _refuse_missing(archive, "tar", names, found)


def unzip(archive: Path, names: Sequence[str], folder: Path) -> None:
    """The same of a zip, in which names lead nowhere, since only their last part is used.

    Raises:
        DownloadError: as `untar`, or a member is encrypted.
    """
    found: set[str] = set()
    folder.mkdir(parents=True)
    try:
        with zipfile.ZipFile(archive) as zipped:
            for member in zipped.infolist():
                kind = stat.S_IFMT(member.external_attr >> 16)
                if member.is_dir() or kind not in (0, stat.S_IFREG):
                    continue
                if name := _wanted(archive, member.filename, names, found):
                    with zipped.open(member) as source, (folder / name).open("wb") as out:
                        shutil.copyfileobj(source, out, 1 << 20)  # at its end the checksum is compared
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, zlib.error, OSError) as error:
        raise DownloadError(
            f"{archive}: expected {_whole('zip', names)}, got {error or 'a damaged one'}; {AGAIN}"
        ) from error
    _refuse_missing(archive, "zip", names, found)


def _wanted(archive: Path, member: str, names: Sequence[str], found: set[str]) -> str:
    """The bare name of a member that is asked for, noted in `found`; "" for another one."""
    name = PurePosixPath(member).name
    if not any(fnmatchcase(name, wanted) for wanted in names):
        return ""
    if name in found:
        raise DownloadError(f"{archive}: expected one {name}, got a second, {member}; {AGAIN}")
    found.add(name)
    return name


def _refuse_missing(archive: Path, kind: str, names: Sequence[str], found: set[str]) -> None:
    if missing := sorted({name for name in names if "*" not in name} - found):
        raise DownloadError(
            f"{archive}: expected {_whole(kind, names)}, found no {' and no '.join(missing)}; {AGAIN}"
        )


def _whole(kind: str, names: Sequence[str]) -> str:
    return f"a {kind} with {', '.join(names)}"
