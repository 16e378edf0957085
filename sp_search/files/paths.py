"""The one door for paths that a user names: expanded, checked, and refused in one line."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path

from sp_search.errors import ConfigError, DataError, UserError

LONGEST_NAME, LONGEST_PATH = 255, 4095
"""Bytes that file systems on Linux take, of a name and of a whole path."""


def reason(error: OSError | ValueError) -> str:
    """What the operating system says, in its own words; "a NUL byte in the path" where Python says it first."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return "a NUL byte in the path" if "null" in str(error) else str(error)


def default_cache() -> str:
    """Where downloads and imported LMs are kept, unless a user says another place."""
    return f"{os.environ.get('XDG_CACHE_HOME') or '~/.cache'}/sp_search"


def user_path(text: str, place: str, error: Callable[[str], Exception] = ConfigError) -> Path:
    """A path as a user wrote it, `~` and `~name` expanded; it need not be there.

    Args:
        text: as written.
        place: the setting or the column, for the message.
        error: makes the exception: ConfigError, or that of a line.

    Raises:
        Exception: that of `error`, where no file can have this path.
    """
    if not text:
        raise error(f"{place}: expected a path, got an empty text")
    if "\0" in text:
        raise error(f"{place}: expected a path, got one with a NUL byte: {text!r:.80}")
    expanded = os.path.expanduser(text)
    if expanded.startswith("~") and (user := text.split("/")[0]) != "~":
        raise error(
            f"{place}: expected a path, got {text!r:.80}, but there is no user {user[1:]}; write ./{text:.80}?"
        )
    try:
        raw = expanded.encode()
    except UnicodeEncodeError as fault:
        shown = os.fsencode(expanded)[:80] if "\udc80" <= expanded[fault.start] <= "\udcff" else expanded[:80]
        raise error(f"{place}: expected a path in UTF-8, got {shown!r}; rename the file or folder") from fault
    longest = max(raw.split(b"/"), key=len)
    if len(longest) > LONGEST_NAME:
        raise error(
            f"{place}: expected names of up to {LONGEST_NAME} bytes in a path, got one of {len(longest)}: "
            f"{longest[:40].decode(errors='replace')}..."
        )
    if len(raw) > LONGEST_PATH:
        raise error(f"{place}: expected a path of up to {LONGEST_PATH} bytes, got one of {len(raw)}")
    return Path(expanded)


def check_current_folder() -> None:
    """Refuse a current folder that was deleted under the shell: no relative path could be read.

    Raises:
        ConfigError: it is not there.
    """
    try:
        os.getcwd()
    except OSError as error:
        raise ConfigError(
            f"current folder: expected one that is there, got {reason(error)}; it was deleted or moved: change to "
            f"another with cd"
        ) from error


def is_disk_full(error: BaseException) -> bool:
    """Whether an error is that a disk, or the user's share of it, has no room left."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def is_there(path: Path, error: Callable[[str], UserError] = ConfigError) -> bool:
    """Whether something is at a path; a folder on the way that may not be looked into is an error, not an absence."""
    try:
        return path.exists()
    except (OSError, ValueError) as fault:
        raise error(f"{path}: expected a path that can be looked at, got {reason(fault)}") from fault


def check_folder(path: Path, what: str, error: Callable[[str], UserError] = DataError) -> None:
    """Refuse what is no folder.

    Raises:
        UserError: there is nothing, a link to nothing, a file, or it may not be looked at.
    """
    if is_there(path, error) and path.is_dir():
        return
    raise error(f"{path}: expected {what}, {_instead(path) or 'found none'}")


def check_file(path: Path, what: str, error: Callable[[str], UserError] = DataError) -> None:
    """Refuse what is no file; a pipe or a device is as good as one.

    Raises:
        UserError: there is nothing, a link to nothing, a folder, or it may not be looked at.
    """
    if is_there(path, error) and not path.is_dir():
        return
    raise error(f"{path}: expected {what}, {_instead(path) or 'found no such file'}")


def _instead(path: Path) -> str:
    if path.is_symlink() and not path.exists():
        return f"got a link to {os.readlink(path)}, which is not there"
    if path.is_dir():
        return "got a folder"
    return "got a file" if path.exists() else ""


def check_inside(path: Path, folder: Path, error: Callable[[str], UserError] = DataError) -> None:
    """Refuse a link in a folder of strangers that leads out of it.

    Raises:
        UserError: it does.
    """
    if not path.resolve().is_relative_to(folder.resolve()):
        raise error(
            f"{path}: expected a file of its folder, got a link to {path.resolve()}; put the file itself there"
        )


def check_writable(folder: Path, key: str, *, make: bool = True) -> None:
    """Whether files can be written to a folder, found out by writing one.

    Args:
        folder: the folder.
        key: of the setting that names it: `runs`, `cache`, `to`.
        make: make the folder where it is absent; False tries the nearest folder above it that is there.

    Raises:
        ConfigError: they can't; with the setting, the path, the operating system's reason, and what to set.
    """
    tried = folder
    try:
        if make:
            folder.mkdir(parents=True, exist_ok=True)
        else:
            while not tried.exists() and not tried.is_symlink() and tried != tried.parent:
                tried = tried.parent
        probe = tried / f".probe.{os.getpid()}.{secrets.token_hex(4)}"
        probe.touch(exist_ok=False)
        probe.unlink()
    except (OSError, ValueError) as error:
        why = "a file is in its way" if isinstance(error, FileExistsError | NotADirectoryError) else reason(error)
        raise ConfigError(
            f"{key}: expected a folder that can be written, got {folder} ({why}); choose another with {key}=PATH"
        ) from error


def check_room(folder: Path, key: str, size: int) -> None:
    """Whether the disk of a folder, or of the nearest one above it that is there, has room.

    Args:
        folder: the folder.
        key: of the setting that names it.
        size: bytes that should be free.

    Raises:
        ConfigError: it has less.
    """
    there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    if (free := shutil.disk_usage(there).free) < size:
        raise ConfigError(
            f"{key}: expected {size / 1e6:,.0f} MB or more free on the disk of {folder}, got {free / 1e6:,.1f}; free "
            f"some, or choose another disk with {key}=PATH"
        )
