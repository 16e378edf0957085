import os
import platform
import subprocess
import sys

import pytest

STEPS = """
import resource, sys
import torch
from sp_search.engine.runtime.malloc import keep_freed_memory

assert sys.argv[1] == "as it is" or keep_freed_memory()

def step():
    held = [torch.ones(1500 + 100 * layer, 1024) for layer in range(12)]  # 6 to 10 MB each

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

for _ in range(3):
    step()
before = faults()
for _ in range(5):
    step()
print(faults() - before)
"""


GIVES_BACK = {"MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072"}
"""glibc's thresholds where it starts from; it moves them as it likes unless they are set."""


def faults_of(course: str) -> int:
    ended = subprocess.run(
        [sys.executable, "-c", STEPS, course],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **GIVES_BACK},
    )
    return int(ended.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library has other ways")
def test_a_step_takes_the_memory_that_the_last_one_freed():
    assert faults_of("kept") < faults_of("as it is") / 10  # a few are the kernel's own, which moves pages at times
