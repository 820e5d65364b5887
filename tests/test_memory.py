"""Freed memory stays with the process, where the C library can be told so; the peak is known."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
from harness.memory import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()
for _ in range(8):
    bytearray(48 << 20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""


def page_faults(how: str) -> int:
    run = [sys.executable, "-c", PROGRAM, how]
    return int(subprocess.run(run, check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="other C libraries have no such setting")
def test_memory_is_asked_of_the_kernel_once() -> None:
    assert page_faults("kept") < page_faults("returned") / 4


SCATTERED = """
import resource, sys
from pathlib import Path
from harness.memory import give_back_freed_memory, keep_freed_memory
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
keep_freed_memory()
before = resident()
blocks = [bytearray(4 << 20) for _ in range(32)]
blocks[:-1] = [None] * 31
kept = resident() - before
give_back_freed_memory()
print(kept, resident() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other C libraries keep nothing")
def test_kept_memory_can_be_given_back() -> None:
    run = [sys.executable, "-c", SCATTERED]
    done = subprocess.run(run, check=True, capture_output=True, text=True)
    kept, left = map(int, done.stdout.split())
    assert kept > 100 << 20
    assert left < 20 << 20


def test_the_peak_holds_what_was_allocated() -> None:
    run = [
        sys.executable,
        "-c",
        "from harness.memory import peak_memory as peak\n"
        "before = peak(); block = bytes(200 << 20).replace(b'\\0', b'1'); print(peak() - before)",
    ]
    grown = int(subprocess.run(run, check=True, capture_output=True, text=True).stdout)
    assert (200 << 20) < grown < (450 << 20)
