"""A published file on this disk: downloaded when it is first asked for, checked whenever it is asked for.

Its place is that of its address: `CACHE/published/HOST/PATH`. A file put there by hand is as good.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from sp_search.errors import DownloadError
from sp_search.files.lock import try_lock
from sp_search.published.catalogue import PublishedFile
from sp_search.published.meter import Meter
from sp_search.published.pins import pin_of, wrong_content
from sp_search.published.transfer import receive

FOREVER = -1.0
"""How long a lock is waited for, as filelock takes it."""


def fetch(file: PublishedFile, cache: Path) -> Path:
    """The file's path, once it is there and right.

    Raises:
        DownloadError: it can't be had, or is not what it was published as or was at first.
    """
    path = place_of(file, cache)
    try:
        if not path.exists():
            with alone(path):
                if not path.exists():
                    _download(file, path)
                    return path
        if wrong := wrong_content(path, path, file):
            raise DownloadError(f"{path}: {wrong}; remove it to download it again")
    except OSError as error:
        raise cannot_keep(path, error) from error
    return path


def place_of(file: PublishedFile, cache: Path) -> Path:
    """Where in the cache the file belongs, there or not."""
    address = urlsplit(file.url)
    return cache / "published" / str(address.hostname) / address.path.lstrip("/")


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Let one process at a time bring about `path`, making its folder; the others wait, and say so."""
    place = path.with_name(f"{path.name}.lock")
    lock = try_lock(place)
    if lock is None:
        Meter(path.name).say(f"waiting for another process that downloads {path.name}")
        lock = try_lock(place, wait_s=FOREVER)
        assert lock is not None
    try:
        yield
    finally:
        lock.close()


def cannot_keep(path: Path, error: OSError) -> DownloadError:
    """The disk's own fault, as a user's."""
    return DownloadError(f"{path}: expected to keep it there, got {error.strerror}; choose another with cache=PATH")


def _download(file: PublishedFile, path: Path) -> None:
    with Meter(path.name) as meter:
        part = receive(file.url, path, meter)
        if wrong := wrong_content(part, path, file):
            part.unlink()
            changed = f"; if its publisher changed it, remove {pin_of(path)} to accept it" * (file.sha256 is None)
            raise DownloadError(f"{file.url}: {wrong}; what came was deleted{changed}")
        part.replace(path)
    part.with_name(f"{part.name}.json").unlink(missing_ok=True)
