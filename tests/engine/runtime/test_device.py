"""Which device, in which arithmetic: by what the hardware says of itself, never by a stopwatch."""

import pytest
import torch

from sp_search.engine.runtime import device
from sp_search.engine.runtime.device import matrix_rate, pick_device, pick_dtype
from sp_search.errors import ConfigError
from sp_search.host import has_bfloat16
from tests.tiny import CPU


@pytest.mark.parametrize(("name", "dtype"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_a_named_dtype_is_taken(name, dtype):
    assert pick_dtype(name, CPU) == dtype


@pytest.mark.parametrize(("has", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_auto_takes_bfloat16_where_a_cpu_has_it_in_hardware(monkeypatch, has, dtype):
    monkeypatch.setattr(device, "has_bfloat16", lambda: has)
    assert pick_dtype("auto", CPU) == dtype


@pytest.mark.parametrize(
    ("capability", "dtype"),
    [((7, 5), torch.float32), ((8, 0), torch.bfloat16), ((9, 0), torch.bfloat16), ((10, 3), torch.bfloat16)],
)
def test_auto_takes_bfloat16_where_a_gpus_capability_has_it(monkeypatch, capability, dtype):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert pick_dtype("auto", torch.device("cuda")) == dtype


@pytest.mark.parametrize(
    ("cpuinfo", "has"),
    [
        ("model name: x\nflags\t\t: fpu avx512f avx512_bf16 sse\n", True),
        ("flags : fpu amx_tile amx_bf16\n", True),
        ("Features\t: fp asimd bf16 i8mm\n", True),
        ("flags : fpu avx2 fma avx512f avx512_vnni\n", False),
        ("model name : a bf16 machine\nflags : avx2\n", False),
        ("", False),
    ],
)
def test_the_flags_of_a_processor_say_whether_it_has_bfloat16(tmp_path, cpuinfo, has):
    (tmp_path / "cpuinfo").write_text(cpuinfo)
    assert has_bfloat16(tmp_path / "cpuinfo") == has


def test_a_system_without_cpuinfo_has_none(tmp_path):
    assert not has_bfloat16(tmp_path / "none")


def test_auto_takes_a_device_that_is_there():
    assert torch.zeros(1, device=pick_device("auto")).item() == 0.0


def test_a_gpu_that_is_not_there_is_one_line(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(
        ConfigError, match=r"^engine.device: expected auto or cpu where torch finds no GPU, got cuda$"
    ):
        pick_device("cuda")


def test_the_matrix_rate_counts_the_products_made_in_its_time(monkeypatch):
    clock = iter([0.0, 0.0, 0.0, 1.0, 1.0])  # begin, two products, the time is over, end
    monkeypatch.setattr(device.time, "perf_counter", lambda: next(clock))
    assert matrix_rate(torch.float32, CPU, seconds=0.5) == 2 * (2 * 1024 * 512 * 2048)
