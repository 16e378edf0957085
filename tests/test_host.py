"""Cores and memory that a process is granted, by cgroups of both versions written out by hand."""

import os
import subprocess
import sys

import psutil
import pytest

from sp_search import host
from tests.memory_cgroup import memory_cgroup

GIB = 2**30


@pytest.fixture
def cgroup(tmp_path):
    """Makes `/sys/fs/cgroup` and `/proc/self/cgroup` of such files."""

    def cgroup(own, **files):
        (tmp_path / "own").write_text(own)
        for name, text in files.items():
            path = tmp_path / "fs" / name.replace("__", "/").replace("_max", ".max").replace("_current", ".current")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path / "fs", tmp_path / "own"

    return cgroup


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    """A host of 8 cores and 20 GiB free."""
    monkeypatch.setattr(psutil.Process, "cpu_affinity", lambda self: list(range(8)))
    monkeypatch.setattr(
        psutil, "virtual_memory", lambda: type("Memory", (), {"available": 20 * GIB, "total": 24 * GIB})
    )


def test_without_cgroups_the_host_counts(tmp_path):
    assert host.cores(tmp_path, tmp_path / "none") == 8
    assert host.free_memory(tmp_path, tmp_path / "none") == 20 * GIB


def test_a_limit_of_version_2_counts_and_so_does_one_of_a_parent(cgroup):
    places = cgroup(
        "0::/pod/box\n",
        pod__cpu_max="250000 100000\n",
        pod__box__cpu_max="max 100000\n",
        pod__memory_max=f"{4 * GIB}\n",
        pod__memory_current=f"{GIB}\n",
        pod__box__memory_max="max\n",
        pod__box__memory_current="0\n",
    )
    assert host.cores(*places) == 3
    assert host.free_memory(*places) == 3 * GIB


def test_page_cache_that_the_kernel_would_give_back_is_free(cgroup):
    places = cgroup("0::/box\n", box__memory_max=f"{4 * GIB}\n", box__memory_current=f"{3 * GIB}\n")
    (places[0] / "box" / "memory.stat").write_text(f"anon 1\ninactive_file {2 * GIB}\n")
    assert host.free_memory(*places) == 3 * GIB


def test_limits_of_version_1_count(cgroup):
    places = cgroup("5:cpu,cpuacct:/job\n4:memory:/job\n0::/\n")
    for name, text in {
        "cpu,cpuacct/job/cpu.cfs_quota_us": "50000",
        "cpu,cpuacct/job/cpu.cfs_period_us": "100000",
        "memory/job/memory.limit_in_bytes": str(3 * GIB),
        "memory/job/memory.usage_in_bytes": str(GIB),
        "memory/memory.limit_in_bytes": "9223372036854771712",
        "memory/memory.usage_in_bytes": "5",
    }.items():
        (places[0] / name).parent.mkdir(parents=True, exist_ok=True)
        (places[0] / name).write_text(text)
    assert host.cores(*places) == 1
    assert host.free_memory(*places) == 2 * GIB


def test_all_that_a_process_may_have_is_the_least_limit_whatever_is_used(cgroup, tmp_path):
    assert host.memory(tmp_path, tmp_path / "none") == 24 * GIB
    places = cgroup("0::/pod/box\n", pod__memory_max=f"{4 * GIB}\n", pod__box__memory_max="max\n")
    assert host.memory(*places) == 4 * GIB


def test_processes_that_were_killed_for_memory_are_counted_in_both_versions(cgroup):
    places = cgroup("4:memory:/job\n0::/box\n")
    for name, text in {
        "box/memory.events": "low 0\nmax 9\noom 2\noom_kill 2\n",
        "memory/job/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
    }.items():
        (places[0] / name).parent.mkdir(parents=True, exist_ok=True)
        (places[0] / name).write_text(text)
    assert host.killed_for_memory(*places) == 5


def test_a_full_cgroup_leaves_nothing(cgroup):
    places = cgroup("0::/box\n", box__memory_max=f"{GIB}\n", box__memory_current=f"{GIB + 4096}\n")
    assert host.free_memory(*places) == 0


def test_affinity_counts(monkeypatch):
    monkeypatch.undo()
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert host.cores() == 1
    finally:
        os.sched_setaffinity(0, before)


def test_a_processor_is_named_with_what_it_has_for_bfloat16(tmp_path):
    (tmp_path / "cpuinfo").write_text("model name\t: AMD EPYC\nflags\t: avx2 avx512_bf16 amx_bf16\n" * 2)
    (tmp_path / "older").write_text("model name\t: Some Xeon\nflags\t: avx2\n")
    assert host.processor(tmp_path / "cpuinfo") == "AMD EPYC (amx_bf16 avx512_bf16)"
    assert host.processor(tmp_path / "older") == "Some Xeon (no bfloat16)"
    assert host.processor(tmp_path / "none").endswith("(no bfloat16)")


def test_a_process_in_a_real_cgroup_sees_no_more_than_that_allows(monkeypatch):
    monkeypatch.undo()
    limit = 300 << 20
    ask = "input(); from sp_search import host; print(host.free_memory())"
    with memory_cgroup(limit) as members:
        asked = subprocess.Popen([sys.executable, "-c", ask], stdin=-1, stdout=-1, text=True)
        members.write_text(str(asked.pid))
        told, _ = asked.communicate("\n")
    assert 0 < int(told) <= limit
