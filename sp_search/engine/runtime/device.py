"""Choice of device and arithmetic; the device's matrix rate and free memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

import torch

from sp_search.engine.runtime.packed_linear import PackedLinear
from sp_search.errors import ConfigError
from sp_search.host import free_memory, has_bfloat16

DeviceName = Literal["auto", "cpu", "cuda"]
DtypeName = Literal["auto", "float32", "bfloat16"]
DTYPES: dict[DtypeName, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}


CPU_MICROBATCH_BYTES = 8 * 2**20
"""The most bytes of a micro-batch's feed-forward activation; a larger one leaves a core's caches."""
CPU_MICROBATCH_TOKENS = (512, 8192)
"""The fewest and the most tokens of a micro-batch on a CPU."""

RATE_SHAPES = {"cpu": (1024, 512, 2048), "cuda": (8192, 8192, 8192)}
"""Rows, inner size and columns of the product that measures a device: it fills the device and takes milliseconds."""


def device_kind(name: DeviceName) -> Literal["cpu", "cuda"]:
    """The kind of device for a setting; auto takes a GPU if this machine has one."""
    return ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name


def pick_device(name: DeviceName) -> torch.device:
    """The device for a setting on this machine.

    Raises:
        ConfigError: the setting is cuda and torch finds no GPU.
    """
    if (kind := device_kind(name)) == "cuda" and not torch.cuda.is_available():
        raise ConfigError("engine.device: expected auto or cpu where torch finds no GPU, got cuda")
    return torch.device(kind)


def pick_dtype(name: DtypeName, device: torch.device) -> torch.dtype:
    """The dtype for a setting; auto takes bfloat16 if the device multiplies it in hardware, else float32.

    The decision uses the flags of a CPU (`host.has_bfloat16`) or the compute capability of a GPU (8.0 or more), and
    never a measurement, so that a machine always computes in the same arithmetic.
    """
    if name != "auto":
        return DTYPES[name]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.get_device_capability(device) >= (8, 0) else torch.float32
    return torch.bfloat16 if has_bfloat16() else torch.float32


def cpu_microbatch_tokens(ffn_embed_dim: int, dtype: torch.dtype) -> int:
    """The most tokens of a micro-batch on a CPU: a power of two whose feed-forward activation stays in the caches."""
    fewest, most = CPU_MICROBATCH_TOKENS
    fitting = max(1, CPU_MICROBATCH_BYTES // (ffn_embed_dim * dtype.itemsize))
    return min(most, max(fewest, 1 << (fitting.bit_length() - 1)))


def dtype_name(dtype: torch.dtype) -> DtypeName:
    """The name of a dtype in settings and recipes."""
    return next(name for name, known in DTYPES.items() if known == dtype)


def matrix_rate(dtype: torch.dtype, device: torch.device, seconds: float = 0.05) -> float:
    """Floating-point operations per second in a large product with a frozen weight; on a CPU, on torch's threads."""
    rows, inner, columns = RATE_SHAPES[device.type]
    draw = torch.Generator(device).manual_seed(0)  # a GPU multiplies constants faster than numbers that vary
    x = torch.randn(rows, inner, dtype=dtype, device=device, generator=draw)
    linear = PackedLinear(torch.randn(columns, inner, dtype=dtype, device=device, generator=draw), None)
    float(linear(x)[0, 0])  # lays the weight out, and waits for the device, as below
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        float(linear(x)[0, 0])
        count += 1
    return 2.0 * rows * inner * columns * count / (time.perf_counter() - began)


def free_bytes(device: torch.device) -> int:
    """Free memory of a device in bytes: of the GPU, or the memory of the machine that this process may still use."""
    return int(torch.cuda.mem_get_info(device)[0]) if device.type == "cuda" else free_memory()


class GpuMemory:
    """The memory of a GPU as torch's allocator sees it."""

    def __init__(self, device: torch.device) -> None:
        """Measure this device."""
        self._device = device

    def free(self) -> int:
        """The memory that torch can still take from the device, plus what it holds unused."""
        held = torch.cuda.memory_reserved(self._device) - torch.cuda.memory_allocated(self._device)
        return free_bytes(self._device) + held

    def used_by(self, run: Callable[[], object]) -> int:
        """The peak memory while `run` runs, minus the memory in use before."""
        before = torch.cuda.memory_allocated(self._device)
        torch.cuda.reset_peak_memory_stats(self._device)
        run()
        return torch.cuda.max_memory_allocated(self._device) - before
