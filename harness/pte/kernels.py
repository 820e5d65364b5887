"""The CPU kernels that ExecuTorch's runtime in the wheel has, by name.

The portable executor runs an operator that no delegate took through torch, which has every one of
them; the runtime in the wheel has fewer. `kernels.txt` lists them as the runtime of executorch
1.5.1 does; a test compares the list with the runtime that is installed.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path

__all__ = ["runtime_kernels", "runtime_lacks"]

_FILE = Path(__file__).with_name("kernels.txt")

_LOADED = ("llama::", "quantized_decomposed::", "dim_order_ops::")
"""Namespaces whose kernels come with libraries of their own, loaded where a program names them."""


@cache
def runtime_kernels() -> frozenset[str]:
    """Names of the kernels, such as ``aten::add.out``."""
    return frozenset(_FILE.read_text(encoding="utf-8").split())


def runtime_lacks(names: Iterable[str]) -> list[str]:
    """Which of these kernels the runtime does not have, in order."""
    return sorted(
        name
        for name in set(names)
        if name not in runtime_kernels() and not name.startswith(_LOADED)
    )
