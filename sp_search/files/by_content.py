"""Files on storage that several machines reach, under the sha256 of their content; each machine fetches them once.

    STORAGE/sha256/DIGEST/NAME/...   the files
    STORAGE/sha256/DIGEST.json       their places in NAME; written last, so what has it is whole

STORAGE is what `pyarrow.fs` can open: s3://, gs://, hdfs://, file://. The address of the files is the URL of their
folder NAME, and means the same files for good. Arrow is there for MLflow and Ray anyway.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from sp_search.errors import ConfigError, DownloadError
from sp_search.files.lock import try_lock
from sp_search.files.paths import check_writable, is_disk_full

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

LONGEST_WAIT_S = 3600.0
"""For another process of this machine that fetches the same."""
ADDRESS = re.compile(r"(?P<storage>[^?]+)/sha256/(?P<digest>[0-9a-f]{64})/(?P<name>[^/?]+)(?P<options>\?.*)?")


@dataclass(frozen=True)
class Content:
    """A folder's files, wherever they lie now."""

    name: str  # of the folder
    files: Mapping[str, Path]  # a file's place in the folder -> where it is now
    digest: str  # sha256 over the name, the places and what is in the files, hex

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(path.stat().st_size for path in self.files.values())


def content_of(name: str, files: Mapping[str, Path]) -> Content:
    """Read files, for their sha256.

    Args:
        name: of the folder that they will be in.
        files: where each is now, by its place in that folder.

    Raises:
        OSError: a file can't be read.
    """
    inside = {}
    for place, path in sorted(files.items()):
        with path.open("rb") as file:
            inside[place] = hashlib.file_digest(file, "sha256").hexdigest()
    return Content(name, files, hashlib.sha256(json.dumps([name, inside]).encode()).hexdigest())


def is_address(text: object) -> bool:
    """Whether a setting names other storage rather than a path of this machine."""
    return isinstance(text, str) and "://" in text


def put(content: Content, storage: str, tell: Callable[[str], None]) -> str:
    """Have files on a storage.

    Args:
        content: the files.
        storage: URL of a folder.
        tell: takes a line where files are sent.

    Returns:
        The address of the files.

    Raises:
        ConfigError: there is no such storage, or it can't be written.
    """
    from pyarrow.fs import FileType, copy_files

    system, base = _opened(storage)
    folder = f"{base}/sha256/{content.digest}"
    try:
        if system.get_file_info(f"{folder}.json").type != FileType.File:
            size = f"{len(content.files)} files, {content.size / 1e6:,.1f} MB"
            tell(f"{content.name} goes to {_shown(storage)}: {size}")
            for place, path in content.files.items():
                target = f"{folder}/{content.name}/{place}"
                if system.type_name == "local":  # elsewhere folders need not be there
                    system.create_dir(target.rpartition("/")[0])
                copy_files(str(path.resolve()), target, destination_filesystem=system)
            _write_whole(system, f"{folder}.json", json.dumps(sorted(content.files)).encode())
    except (OSError, ValueError) as error:
        raise _refused(storage, "that can be written", error) from error
    url, mark, options = storage.partition("?")
    return f"{url.rstrip('/')}/sha256/{content.digest}/{quote(content.name)}{mark}{options}"


def _write_whole(system: FileSystem, path: str, text: bytes) -> None:
    """A file that appears whole: object stores see to that themselves."""
    unfinished = f"{path}.{secrets.token_hex(4)}.part" if system.type_name == "local" else path
    with system.open_output_stream(unfinished, compression=None) as file:
        file.write(text)
    if unfinished != path:
        system.move(unfinished, path)


def fetched(address: str, cache: Path, tell: Callable[[str], None]) -> Path:
    """The folder of the files at an address, on this machine: from the cache, or into it.

    Args:
        address: as `put` gave it.
        cache: the folder of the cache.
        tell: takes a line where files are fetched.

    Raises:
        ConfigError: it is no address of this form, its storage can't be read, or the cache can't be written.
        DownloadError: nothing whole is there, or other content than the address says.
    """
    found = ADDRESS.fullmatch(address)
    name = unquote(found["name"]) if found else ""
    if found is None or not _is_inside(name) or "/" in name:
        raise ConfigError(
            f"{_shown(address)}: expected a path of this machine, or an address STORAGE/sha256/DIGEST/NAME as "
            f"sp-search submit makes it, got another URL"
        )
    whole = cache / "fetched" / found["digest"]
    if (whole / name).is_dir():
        return whole / name
    check_writable(cache, "cache")
    lock = try_lock(whole.with_suffix(".lock"), LONGEST_WAIT_S)
    try:
        if not (whole / name).is_dir():
            tell(f"fetching {_shown(address)}")
            _fetch(f"{found['storage']}{found['options'] or ''}", found["digest"], name, whole)
    finally:
        if lock is not None:
            lock.close()
    return whole / name


def _fetch(storage: str, digest: str, name: str, whole: Path) -> None:
    """Fetch into a folder beside, and move it to its place when the content is the right one."""
    from pyarrow.fs import copy_files

    system, base = _opened(storage)
    part = whole.with_name(f"{digest}.{os.getpid()}.{secrets.token_hex(4)}.part")
    try:
        files = {place: part / name / place for place in _places(system, f"{base}/sha256/{digest}.json", storage)}
        for place, path in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            copy_files(f"{base}/sha256/{digest}/{name}/{place}", str(path.absolute()), source_filesystem=system)
        if (got := content_of(name, files).digest) != digest:
            raise DownloadError(
                f"{_shown(storage)}: expected {name} with the sha256 {digest}, got {got}: it is damaged there; "
                f"remove sha256/{digest}.json, and submit it again"
            )
        if not (whole / name).is_dir():  # another process may have been first, on a file system without locks
            part.replace(whole)
    except FileNotFoundError as error:
        raise DownloadError(
            f"{_shown(storage)}: expected {name} with the sha256 {digest}, found nothing whole ({_why(error)}); "
            f"submit it again"
        ) from error
    except OSError as error:
        if is_disk_full(error):
            raise
        raise _refused(storage, "that can be read", error) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _places(system: FileSystem, listing: str, storage: str) -> list[str]:
    """The places of the files, which may lead nowhere but into their folder."""
    with system.open_input_stream(listing, compression=None) as file:
        text = file.read()
    try:
        places = json.loads(text)
    except ValueError:
        places = None
    if not isinstance(places, list) or not all(isinstance(place, str) and _is_inside(place) for place in places):
        raise DownloadError(
            f"{_shown(storage)}: expected the places of files in {listing.rpartition('/')[2]}, got {text[:60]!r}; "
            f"remove it there, and submit the files again"
        )
    return places


def _is_inside(place: str) -> bool:
    """Whether a place is one below its folder, and is written in one way only."""
    return not place.startswith("/") and all(part not in ("", ".", "..") for part in place.split("/"))


def _opened(storage: str) -> tuple[FileSystem, str]:
    """The file system of a storage, and the path of the folder there."""
    from pyarrow.fs import FileSystem

    try:
        system, base = FileSystem.from_uri(storage)
    except (OSError, ValueError) as error:
        raise _refused(storage, "(s3://BUCKET/FOLDER, gs://, hdfs://, file:///FOLDER)", error) from error
    return system, base.rstrip("/")


def _refused(storage: str, wanted: str, error: Exception) -> ConfigError:
    return ConfigError(
        f"storage: expected a storage {wanted}, got {_shown(storage)}: {_why(error)}; check its name, and the log-in "
        f"of this machine there"
    )


def _shown(url: str) -> str:
    """A URL without what may be secret in it: log-ins, and options."""
    return re.sub(r"(?<=://)[^/]*@", "***@", url).partition("?")[0]


def _why(error: Exception) -> str:
    return f"{' '.join(str(error).split()):.300}"
