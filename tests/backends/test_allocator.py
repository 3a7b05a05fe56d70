"""Memory that a network frees is there for its next call."""

import os
import subprocess
import sys

import pytest

_FAULTS = """
import resource, sys, torch
from fastinst_rt.backends.allocator import keep_freed_memory

if sys.argv[1] == "kept":
    assert keep_freed_memory()

def call():
    kept = [torch.ones(1 << 20) for _ in range(8)]  # 32 MiB

for _ in range(3):
    call()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    call()
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) // 10)
"""


def faults(setting: str) -> int:
    """Page faults of one call that allocates and frees 32 MiB, in a process of its own.

    Left alone, glibc gives back all of it or nothing, as the heap happens to lie; told so, it always gives it back.
    """
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": str(128 << 10)}
    command = [sys.executable, "-c", _FAULTS, setting]
    return int(subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's setting")
def test_a_call_finds_the_memory_of_the_last_one() -> None:
    assert faults("kept") < 100 < faults("given back")
