"""The portable executor with MLX as it comes: its own BLAS, its own kernels, in another process.

Which BLAS a process lends MLX is settled when it first imports it, so that stock MLX needs one of
its own. It is called over a pipe, an empty line a call, and answers each with another.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from harness.arrays import Array, from_bits, to_bits
from harness.errors import MachineError
from harness.process import environment

__all__ = ["StockMLX"]


class StockMLX:
    """One method of a `.pte` on stock MLX; a context that ends its process."""

    def __init__(self, path: Path, method: str, inputs: Sequence[Array]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="voxtral-stock-")
        given = Path(self._folder.name) / "inputs.npz"
        np.savez(given, *map(to_bits, inputs))
        types = ",".join(x.dtype.name for x in inputs)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "harness.bench.stock", str(path), method, str(given), types],
            env=environment(VOXTRAL_PARITY_STOCK_BLAS="1"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def __call__(self) -> None:
        """Call the method once."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(b"\n")
            self._process.stdin.flush()
        if not self._process.stdout.readline():
            raise MachineError(
                f"stock MLX ended with exit code {self._process.wait()}; what it said is above"
            )

    def __enter__(self) -> StockMLX:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._folder.cleanup()


def _main(path: Path, method: str, given: Path, types: str) -> None:
    from harness.runtime.portable import PortableExecutor

    with np.load(given) as arrays:
        inputs = [
            from_bits(arrays[key], name) for key, name in zip(arrays, types.split(","), strict=True)
        ]
    executor = PortableExecutor(fast=False)
    executor.load(path)
    while sys.stdin.readline():
        executor.call(method, inputs)
        print(flush=True)


if __name__ == "__main__":
    _main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), sys.argv[4])
