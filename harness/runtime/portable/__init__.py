"""The portable executor: our interpreter of a `.pte` and its MLX delegates, on any machine.

`schema`, `flatbuffer`   the wheel's schemas, and a reader that trusts no offset
`plan`, `parser`, `program`       a `.pte` as data; `flat_tensor` a `.ptd` of weights beside it
`payload`, `coverage`    the MLX delegate's graph in it; what of a file is delegated
`slots`, `ops_*`, `interpreter`   the numbered tensors, one function a node type, the chains
`kv_cache`               the off-graph KV cache and its node
`memory`, `kernels`, `prims`      a plan's tensors, and what runs between its delegates
`delegate`, `walk`, `method`, `executor`   one delegate, one call, one method, the Executor
`names`, `probe`         what the export called each step, and a look inside
`blas`                   the one door to `mlx.core`

Reading a file imports neither mlx nor torch; the executor is imported when it is asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from harness.pte.coverage import MethodDelegation, delegation

if TYPE_CHECKING:
    from harness.runtime.portable.executor import PortableExecutor
    from harness.runtime.portable.kv_cache import CacheConfig, CacheLayer

__all__ = ["CacheConfig", "CacheLayer", "MethodDelegation", "PortableExecutor", "delegation"]

_HOMES = {"PortableExecutor": "executor", "CacheConfig": "kv_cache", "CacheLayer": "kv_cache"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
