"""The portable executor: our interpreter of a `.pte` and its MLX delegates, on any machine.

`blas`                   the one door to `mlx.core`
`tensors`, `slots`       MLX arrays; the numbered tensors that a delegate's nodes read and write
`ops_*`, `attention`, `interpreter`   one function a node type; the chains of nodes
`kv_cache`               the off-graph KV cache
`folding`, `fp32_weights`, `exponentials`   the faster routes
`memory`, `kernels`, `prims`          a plan's tensors, and what runs between its delegates
`delegate`, `method`, `executor`      one delegate, one method, the Executor
`probe`                  a look inside a method

MLX is imported with `PortableExecutor`: what walks a plan is also the exact executor's, which needs
numpy alone.
"""

from __future__ import annotations

from typing import Any

__all__ = ["PortableExecutor"]


def __getattr__(name: str) -> Any:
    if name == "PortableExecutor":
        from harness.runtime.portable.executor import PortableExecutor

        return PortableExecutor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
