"""The device that computes: which one, in which arithmetic, how fast it multiplies, how much memory is free."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch

from sp_search.engine.runtime.packed_linear import PackedLinear

DeviceName = Literal["auto", "cpu", "cuda"]
DtypeName = Literal["auto", "float32", "bfloat16"]


DTYPES: dict[DtypeName, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def pick_device(name: DeviceName) -> torch.device:
    """The device of that name; auto takes a GPU where there is one."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def pick_dtype(name: DtypeName, device: torch.device) -> torch.dtype:
    """The dtype of that name; auto measures which the device multiplies faster, for a CPU may emulate bfloat16."""
    if name != "auto":
        return DTYPES[name]
    rates = {dtype: matrix_rate(dtype, device) for dtype in (torch.float32, torch.bfloat16)}
    return max(rates, key=lambda dtype: rates[dtype])


def dtype_name(dtype: torch.dtype) -> DtypeName:
    """How a recipe and a user call a dtype."""
    return next(name for name, known in DTYPES.items() if known == dtype)


def matrix_rate(dtype: torch.dtype, device: torch.device, seconds: float = 0.05) -> float:
    """Floating-point operations a second of a frozen layer's product, a feed-forward's, on torch's threads."""
    rows, inner, columns = 1024, 512, 2048
    x = torch.ones(rows, inner, dtype=dtype, device=device)
    linear = PackedLinear(torch.ones(columns, inner, dtype=dtype, device=device), None)
    product = linear(x)
    float(product[0, 0])  # waits for the device, as below
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        product = linear(x)
        count += 1
    float(product[0, 0])
    return 2.0 * rows * inner * columns * count / (time.perf_counter() - began)


def free_bytes(device: torch.device) -> int:
    """Memory that is free on a device: of the GPU, or of this machine (MemAvailable of Linux)."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines())
    return int(lines["MemAvailable"].split()[0]) * 1024


class GpuMemory:
    """A GPU's memory, by torch's allocator."""

    def __init__(self, device: torch.device) -> None:
        """Of this device."""
        self._device = device

    def free(self) -> int:
        """What torch can still take from the device, and what it holds unused."""
        held = torch.cuda.memory_reserved(self._device) - torch.cuda.memory_allocated(self._device)
        return free_bytes(self._device) + held

    def used_by(self, run: Callable[[], object]) -> int:
        """The peak while it runs, less what was taken before."""
        before = torch.cuda.memory_allocated(self._device)
        torch.cuda.reset_peak_memory_stats(self._device)
        run()
        return torch.cuda.max_memory_allocated(self._device) - before
