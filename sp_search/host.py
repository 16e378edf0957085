"""What this process has of its machine: cores by affinity and cgroup, free memory, instructions of the processor.

`os.cpu_count()` and `MemAvailable` tell of the whole host, but SLURM, Kubernetes and `taskset` lend a part of it.
"""

from __future__ import annotations

import math
import platform
from pathlib import Path

import psutil

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")
CPUINFO = Path("/proc/cpuinfo")
BFLOAT16_FLAGS = ("amx_bf16", "avx512_bf16", "bf16")
LIMITS = {"memory.max": "memory.current", "memory.limit_in_bytes": "memory.usage_in_bytes"}
"""Files of a cgroup's memory limit, and of what is used of it, in versions 2 and 1."""
UNLIMITED = 1 << 60
"""A limit of cgroup v1 that is none: the largest multiple of the page size is about 2**63."""


def cores(root: Path = CGROUPS, own: Path = OWN_CGROUP) -> int:
    """Cores that this process may run on, 1 or more: its affinity, less where a cgroup grants less time."""
    allowed = len(psutil.Process().cpu_affinity())
    quotas = [quota for folder in _folders(root, own, "cpu") if (quota := _cpus(folder)) is not None]
    return max(1, min([allowed, *map(math.ceil, quotas)]))


def free_memory(root: Path = CGROUPS, own: Path = OWN_CGROUP) -> int:
    """Bytes that this process can still take: what the host has free, or less where a cgroup allows less."""
    rooms = [room for folder in _folders(root, own, "memory") if (room := _memory_room(folder)) is not None]
    return max(0, min([psutil.virtual_memory().available, *rooms]))


def memory(root: Path = CGROUPS, own: Path = OWN_CGROUP) -> int:
    """Bytes that this process may have in all: those of the host, or less where a cgroup allows less."""
    limits = [limit for folder in _folders(root, own, "memory") if (limit := _memory_limit(folder)) is not None]
    return min([psutil.virtual_memory().total, *limits])


def killed_for_memory(root: Path = CGROUPS, own: Path = OWN_CGROUP) -> int:
    """How many processes the kernel has killed so far because this process's cgroup, or one above, was full."""
    return sum(_kills(folder) for folder in _folders(root, own, "memory"))


def has_bfloat16(cpuinfo: Path = CPUINFO) -> bool:
    """Whether the processor multiplies bfloat16 in hardware: AMX-BF16, AVX512-BF16, or BF16 of ARM.

    Where it has neither flag, bfloat16 is emulated: one such machine ran at 16 GFLOP/s beside 100 in float32.
    """
    return bool(_bfloat16_flags(_lines(cpuinfo)))


def processor(cpuinfo: Path = CPUINFO) -> str:
    """The processor, with what it has for bfloat16, for a measurement: `AMD EPYC (avx512_bf16)`."""
    lines = _lines(cpuinfo)
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    name = names[0] if names else platform.processor() or platform.machine()
    return f"{name} ({' '.join(_bfloat16_flags(lines)) or 'no bfloat16'})"


def _bfloat16_flags(lines: list[str]) -> list[str]:
    flags = {word for line in lines if line.startswith(("flags", "Features")) for word in line.split()}
    return [flag for flag in BFLOAT16_FLAGS if flag in flags]


def _lines(cpuinfo: Path) -> list[str]:
    try:
        return cpuinfo.read_text().splitlines()
    except OSError:  # no Linux
        return []


def _folders(root: Path, own: Path, controller: str) -> list[Path]:
    """This process's cgroup and all above it, of version 2 (one tree) and of version 1 (a tree a controller)."""
    try:
        lines = own.read_text().splitlines()
    except OSError:  # no cgroups on this system
        return []
    found: list[Path] = []
    for line in lines:
        _, controllers, place = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        tree = root / controllers if controllers else root
        inside = Path(place.lstrip("/"))
        found += [tree / part for part in (inside, *inside.parents)]
    return found


def _cpus(folder: Path) -> float | None:
    """Cores' worth of time that a cgroup grants; None for no limit."""
    if (words := _words(folder / "cpu.max")) and words[0] != "max":
        return int(words[0]) / int(words[1])
    quota, period = _words(folder / "cpu.cfs_quota_us"), _words(folder / "cpu.cfs_period_us")
    if quota and period and int(quota[0]) > 0:
        return int(quota[0]) / int(period[0])
    return None


def _memory_limit(folder: Path) -> int | None:
    """Bytes that a cgroup allows; None for no limit."""
    for name in LIMITS:
        limit = _words(folder / name)
        if limit and limit[0] != "max" and int(limit[0]) < UNLIMITED:
            return int(limit[0])
    return None


def _memory_room(folder: Path) -> int | None:
    """Bytes that a cgroup still allows, with the page cache that the kernel would give back; None for no limit."""
    limit = _memory_limit(folder)
    used = next((words for name in LIMITS.values() if (words := _words(folder / name))), None)
    if limit is None or used is None:
        return None
    return limit - int(used[0]) + _reclaimable(folder / "memory.stat")


def _kills(folder: Path) -> int:
    counts = {**_counts(folder / "memory.events"), **_counts(folder / "memory.oom_control")}
    return counts.get("oom_kill", 0)


def _reclaimable(stat: Path) -> int:
    counts = _counts(stat)
    return counts.get("inactive_file", counts.get("total_inactive_file", 0))


def _counts(path: Path) -> dict[str, int]:
    """A file of names and numbers."""
    words = _words(path)
    return {name: int(number) for name, number in zip(words[::2], words[1::2], strict=False)}


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:  # not in this cgroup, or not of this version
        return []
