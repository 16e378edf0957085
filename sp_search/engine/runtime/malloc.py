"""Keep freed buffers in the process, so that the next step need not ask the kernel for memory.

By default glibc gives large freed buffers back to the kernel. The next buffer then comes page by page, and the kernel
clears each page again: some thousand page faults an update.
"""

from __future__ import annotations

import ctypes
import platform

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Options of mallopt(3): the free memory kept at the heap's end; the size from which a block is mapped alone."""
MOST_KEPT = 2**31 - 1
LARGEST_MMAP_THRESHOLD = 32 * 2**20
"""The largest value that glibc accepts."""


def keep_freed_memory() -> bool:
    """Set glibc's two thresholds for this process. Returns False, and does nothing, with another C library."""
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    return bool(libc.mallopt(M_MMAP_THRESHOLD, LARGEST_MMAP_THRESHOLD) and libc.mallopt(M_TRIM_THRESHOLD, MOST_KEPT))
