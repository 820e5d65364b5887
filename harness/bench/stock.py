"""The portable executor with MLX as it comes: its own BLAS, its own kernels, in another process.

Which BLAS a process lends MLX is settled when it first imports it, so that stock MLX needs one of
its own. It is called over a pipe, an empty line a call, and answers each with another.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from harness.arrays import Array
from harness.bench.rounds import Work
from harness.errors import MachineError
from harness.parity.archive import load, save
from harness.process import environment

__all__ = ["stock_mlx"]


@contextmanager
def stock_mlx(path: Path, method: str, inputs: Sequence[Array]) -> Iterator[Work]:
    """What calls `method` of a `.pte` with `inputs` on stock MLX; its process ends with the block.

    A call raises `MachineError` if the process has ended.
    """
    with tempfile.TemporaryDirectory(prefix="voxtral-stock-") as folder:
        given = Path(folder) / "inputs.npz"
        save(given, tuple(inputs))
        process = subprocess.Popen(
            [sys.executable, "-m", "harness.bench.stock", str(path), method, str(given)],
            env=environment(VOXTRAL_PARITY_STOCK_BLAS="1"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

        def call() -> None:
            assert process.stdin is not None
            assert process.stdout is not None
            with suppress(BrokenPipeError):
                process.stdin.write(b"\n")
                process.stdin.flush()
            if not process.stdout.readline():
                code = process.wait()
                raise MachineError(f"stock MLX ended with exit code {code}; what it said is above")

        try:
            yield call
        finally:
            process.kill()
            process.communicate()


def _main(path: Path, method: str, given: Path) -> None:
    from harness.runtime.portable import PortableExecutor

    inputs = load(given, tuple[Array, ...])
    executor = PortableExecutor(fast=False)
    executor.load(path)
    while sys.stdin.readline():
        executor.call(method, inputs)
        print(flush=True)


if __name__ == "__main__":
    _main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
