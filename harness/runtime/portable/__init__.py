"""The portable executor: our interpreter of a `.pte` and its MLX delegates, on any machine.

`schema`, `flatbuffer`   the wheel's schemas, and a reader that trusts no offset
`plan`, `program`        a `.pte` as data; `payload` the MLX delegate's graph in it
`coverage`               what of a file is delegated
`slots`, `ops_*`, `interpreter`   the numbered tensors, one function a node type, the chains
`delegate`, `method`, `executor`  one delegate, one method, the Executor
`blas`                   the one door to `mlx.core`
"""

from __future__ import annotations

from harness.runtime.portable.coverage import MethodDelegation, delegation
from harness.runtime.portable.executor import PortableExecutor

__all__ = ["MethodDelegation", "PortableExecutor", "delegation"]
