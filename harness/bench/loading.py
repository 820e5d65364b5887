"""Load one `.pte` in a process of its own and say what that took, as JSON on stdout."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from harness.errors import MachineError
from harness.memory import peak_memory
from harness.process import complaint, environment
from harness.values import encode

__all__ = ["Loading", "measure_loading"]


@dataclass(frozen=True)
class Loading:
    """What loading took.

    Size of the file and growth of the process's peak memory in 10⁹ bytes, and the seconds until
    the weights of every method were in memory.
    """

    gigabytes: float
    seconds: float
    grown: float


def measure_loading(path: Path) -> Loading:
    """Load `path` in a new process."""
    done = subprocess.run(
        [sys.executable, "-m", "harness.bench.loading", str(path)],
        check=False,
        capture_output=True,
        text=True,
        env=environment(),
    )
    if done.returncode:
        raise MachineError(f"the process that loads {path} failed: {complaint(done)}")
    return Loading(**json.loads(done.stdout))


def _main(path: Path) -> None:
    from harness.runtime.portable.blas import mx
    from harness.runtime.portable.executor import PortableExecutor

    mx.eval(mx.ones((8, 8)) @ mx.ones((8, 8)))
    before = peak_memory() or 0
    started = time.perf_counter()
    executor = PortableExecutor()
    executor.load(path)
    for method in executor.methods():
        executor.prepare(method)
    seconds = time.perf_counter() - started
    grown = ((peak_memory() or 0) - before) / 1e9
    print(json.dumps(encode(Loading(path.stat().st_size / 1e9, seconds, grown))))


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
