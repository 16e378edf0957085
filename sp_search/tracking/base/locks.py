"""Who may write a spool, and who may send it: one process each, freed by its death."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""How file systems of some clusters answer."""


class Lock:
    """A held lock; closing it, or the end of the process, frees it."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def close(self) -> None:
        """Let another process have it."""
        os.close(self._fd)


def try_lock(path: Path) -> Lock | None:
    """Take the lock at once, or None where another holder lives.

    On a file system without locks everyone gets one: a search must not end for want of it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    except OSError as error:
        if error.errno not in WITHOUT_LOCKS:
            os.close(fd)
            raise
    return Lock(fd)
