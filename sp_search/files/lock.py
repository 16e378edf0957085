"""Who may write a file or a folder: one process, whose death frees it (`filelock`, which is flock on Linux)."""

from __future__ import annotations

import errno
from pathlib import Path

from filelock import FileLock, Timeout

WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""How file systems of some clusters answer."""


class Lock:
    """A held lock; closing it, or the end of the process, frees it."""

    def __init__(self, held: FileLock | None) -> None:
        """Hold this one; None stands for a file system without locks."""
        self._held = held

    def close(self) -> None:
        """Let another process have it."""
        if self._held is not None:
            self._held.release()


def try_lock(path: Path, wait_s: float = 0.0) -> Lock | None:
    """Take the lock, or None where another process still holds it after so many seconds.

    On a file system without locks everyone gets one: a search must not end for want of it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, thread_local=False)
    try:
        lock.acquire(timeout=wait_s)
    except Timeout:
        return None
    except NotImplementedError:  # how filelock says that the file system has no flock
        return Lock(None)
    except OSError as error:
        if error.errno not in WITHOUT_LOCKS:
            raise
        return Lock(None)
    return Lock(lock)
