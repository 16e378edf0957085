"""Files on storage that several machines reach, under the sha256 of their content; each machine fetches them once.

    STORAGE/sha256/DIGEST/NAME/...   the files
    STORAGE/sha256/DIGEST.json       their places in NAME; written last, so what has it is whole

STORAGE is what `pyarrow.fs` can open: s3://, gs://, hdfs://, file://. The address of the files is the URL of their
folder NAME, and means the same files for good. Arrow is there for MLflow and Ray anyway.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from sp_search.errors import ConfigError, DownloadError
from sp_search.files.lock import try_lock

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
            shown = storage.partition("?")[0]
            tell(f"{content.name} goes to {shown}: {len(content.files)} files, {content.size / 1e6:,.1f} MB")
            for place, path in content.files.items():
                target = f"{folder}/{content.name}/{place}"
                if system.type_name == "local":  # elsewhere folders need not be there
                    system.create_dir(target.rpartition("/")[0])
                copy_files(str(path.resolve()), target, destination_filesystem=system)
            with system.open_output_stream(f"{folder}.json", compression=None) as file:
                file.write(json.dumps(sorted(content.files)).encode())
    except OSError as error:
        raise _refused(storage, "that can be written", error) from error
    url, mark, options = storage.partition("?")
    return f"{url.rstrip('/')}/sha256/{content.digest}/{quote(content.name)}{mark}{options}"


def fetched(address: str, cache: Path, tell: Callable[[str], None]) -> Path:
    """The folder of the files at an address, on this machine: from the cache, or into it.

    Args:
        address: as `put` gave it.
        cache: the folder of the cache.
        tell: takes a line where files are fetched.

    Raises:
        ConfigError: it is no address of this form, or its storage can't be read.
        DownloadError: nothing whole is there, or other content than the address says.
    """
    found = ADDRESS.fullmatch(address)
    if found is None:
        raise ConfigError(
            f"{address}: expected a path of this machine, or an address STORAGE/sha256/DIGEST/NAME as sp-search "
            f"submit makes it, got another URL"
        )
    digest, name = found["digest"], unquote(found["name"])
    whole = cache / "fetched" / digest
    if (whole / name).is_dir():
        return whole / name
    lock = try_lock(whole.with_suffix(".lock"), LONGEST_WAIT_S)
    try:
        if not (whole / name).is_dir():
            tell(f"fetching {address}")
            _fetch(f"{found['storage']}{found['options'] or ''}", digest, name, whole)
    finally:
        if lock is not None:
            lock.close()
    return whole / name


def _fetch(storage: str, digest: str, name: str, whole: Path) -> None:
    """Fetch into a folder beside, and move it to its place when the content is the right one."""
    from pyarrow.fs import copy_files

    system, base = _opened(storage)
    part = whole.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        with system.open_input_stream(f"{base}/sha256/{digest}.json", compression=None) as file:
            places = json.loads(file.read())
        files = {place: part / name / place for place in places}
        for place, path in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            copy_files(f"{base}/sha256/{digest}/{name}/{place}", str(path.absolute()), source_filesystem=system)
    except FileNotFoundError as error:
        raise DownloadError(
            f"{storage}: expected {name} with the sha256 {digest}, found nothing whole ({_why(error)}); submit it "
            f"again"
        ) from error
    except OSError as error:
        raise _refused(storage, "that can be read", error) from error
    if (got := content_of(name, files).digest) != digest:
        raise DownloadError(
            f"{storage}: expected {name} with the sha256 {digest}, got {got}: it is damaged there; remove "
            f"sha256/{digest}.json, and submit it again"
        )
    part.replace(whole)


def _opened(storage: str) -> tuple[FileSystem, str]:
    """The file system of a storage, and the path of the folder there."""
    from pyarrow.fs import FileSystem

    try:
        system, base = FileSystem.from_uri(storage)
    except (OSError, ValueError) as error:
        raise _refused(storage, "(s3://BUCKET/FOLDER, gs://, hdfs://, file:///FOLDER)", error) from error
    return system, base.rstrip("/")


def _refused(storage: str, wanted: str, error: Exception) -> ConfigError:
    return ConfigError(f"storage: expected a storage {wanted}, got {storage}: {_why(error)}")


def _why(error: Exception) -> str:
    return f"{' '.join(str(error).split()):.300}"
