"""A published file is known again by its sha256: the publisher's, else that of its first download."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from sp_search.errors import DownloadError
from sp_search.files.write import write_text
from sp_search.published.catalogue import PublishedFile

PIN = ".pin.json"
"""Behind a file's name, the name of its pin."""


def wrong_content(content: Path, path: Path, file: PublishedFile) -> str:
    """Compare a file with what it must be, and pin what nothing is known of.

    Args:
        content: the bytes: `path` itself, or the download that is to become it.
        path: the file's place; its pin is `path` with `.pin.json`.
        file: what it was published as.

    Returns:
        Which sha256 was expected, and which came; empty when all is well.

    Raises:
        DownloadError: the pin can't be read.
    """
    pin = pin_of(path)
    expected = file.sha256 or _pinned(pin)
    got = sha256_of(content)
    if expected is None:
        write_text(pin, json.dumps({"url": file.url, "sha256": got}, indent=2) + "\n")
    elif got != expected:
        return f"expected sha256 {expected} ({'as published' if file.sha256 else f'pinned in {pin}'}), got {got}"
    return ""


def pin_of(path: Path) -> Path:
    """Where the sha256 of a file's first download is kept."""
    return path.with_name(f"{path.name}{PIN}")


def sha256_of(path: Path) -> str:
    """sha256 of a file, hex; OSError where it can't be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _pinned(pin: Path) -> str | None:
    if not pin.exists():
        return None
    try:
        return str(json.loads(pin.read_text())["sha256"])
    except (ValueError, KeyError, TypeError) as error:
        raise DownloadError(
            f"{pin}: expected the sha256 of a first download, got a damaged file; remove it to pin anew"
        ) from error
