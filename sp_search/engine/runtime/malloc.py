"""What a step frees stays with the process, for the next step to take.

glibc gives freed memory back to the kernel above a size that it moves at will, and what is taken anew comes page by
page, each cleared once more: some thousand page faults an update.
"""

from __future__ import annotations

import ctypes
import platform

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Of mallopt(3): how much free memory stays at the heap's end, and from what size on memory is mapped by itself."""
MOST_KEPT = 2**31 - 1
LARGEST_MMAP_THRESHOLD = 32 * 2**20
"""The most that glibc takes."""


def keep_freed_memory() -> bool:
    """Tell the C library, of this process alone; whether it is one that can be told."""
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    return bool(libc.mallopt(M_MMAP_THRESHOLD, LARGEST_MMAP_THRESHOLD) and libc.mallopt(M_TRIM_THRESHOLD, MOST_KEPT))
