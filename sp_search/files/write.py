"""Files that appear whole or not at all: what is unfinished lies beside them under another name."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_write(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """A path to write the content to; it takes the place of `path` when the block ends without an error.

    Missing parent folders are made. Where the block raises, nothing is left, and an older file stays as it was.

    An OSError says what the system refused; that of a full disk is one also where a library raised its own.

    Args:
        path: of the finished file.
        durable: also force the content to the disk, so that it outlives a crash of the machine.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name[:100]}.{os.getpid()}.{secrets.token_hex(4)}.part")
    try:
        yield unfinished
        if durable:
            force_to_disk(unfinished)
        os.replace(unfinished, path)
        if durable:
            force_to_disk(path.parent)  # which has the new name
    except Exception as error:
        if not isinstance(error, OSError) and (full := os.strerror(errno.ENOSPC)) in str(error):
            raise OSError(errno.ENOSPC, full, str(path)) from error  # libraries in Rust raise errors of their own
        raise
    finally:
        unfinished.unlink(missing_ok=True)


def write_text(path: Path, text: str, *, durable: bool = False) -> None:
    """A text file in UTF-8, whole or not at all."""
    write_bytes(path, text.encode(), durable=durable)


def write_bytes(path: Path, content: bytes, *, durable: bool = False) -> None:
    """A file of these bytes, whole or not at all."""
    with atomic_write(path, durable=durable) as unfinished:
        unfinished.write_bytes(content)


def force_to_disk(path: Path) -> None:
    """Have the kernel write what it still holds of a file in memory."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
