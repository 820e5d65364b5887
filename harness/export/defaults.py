"""What stock leaves out: an eps that is not given, a type to add up in, a second layout."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from harness.export.emitting import emit
from harness.export.patching import patched

__all__ = ["adds_in_another_type", "cumsum", "lacks_eps", "rms_norm", "told_layouts"]


def lacks_eps(node: Any) -> bool:
    """Whether an ``aten.rms_norm`` leaves eps to its type."""
    return len(node.args[1]) == 1 and (len(node.args) < 4 or node.args[3] is None)


def rms_norm(builder: Any, node: Any) -> Any:
    """``aten.rms_norm`` with torch's own eps: float32's, in which 16-bit inputs are squared too."""
    x, _, *rest = builder.args(node)
    eps = torch.finfo(torch.float32).eps
    weight = {"weight": rest[0]} if rest and rest[0] is not None else {}
    return emit(builder, "RMSNormNode", builder.make_or_get_slot(node), x=x, eps=eps, **weight)


def adds_in_another_type(node: Any) -> bool:
    """Whether an ``aten.cumsum`` has another type than its input."""
    return bool(node.meta["val"].dtype != node.args[0].meta["val"].dtype)


def cumsum(builder: Any, node: Any) -> Any:
    """``aten.cumsum`` that casts before it adds, as torch does."""
    from executorch.backends.mlx.builder.op_helpers import torch_dtype_to_scalar_type

    x, axis = builder.args(node)[:2]
    kind = torch_dtype_to_scalar_type(node.meta["val"].dtype)
    cast = emit(builder, "AsTypeNode", x=x, scalar_type=kind)
    return emit(builder, "CumsumNode", builder.make_or_get_slot(node), x=cast, axis=axis)


@contextmanager
def told_layouts() -> Iterator[None]:
    """A weight that two convolutions lay out in two ways gets a name for each of them."""
    from executorch.backends.mlx.builder.program_builder import MLXProgramBuilder
    from torch._subclasses.fake_tensor import FakeTensor

    stock = MLXProgramBuilder.make_or_get_constant

    def named(self: Any, name: str, tensor: torch.Tensor) -> Any:
        base, number = name, 1
        while name.endswith("_channel_last") or number > 1:
            known = self.extra_constants.get(name)
            if known is None or isinstance(tensor, FakeTensor) or _equal(known, tensor):
                break
            number += 1
            name = f"{base}_{number}"
        return stock(self, name, tensor)

    with patched(MLXProgramBuilder, "make_or_get_constant", named):
        yield


def _equal(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and torch.equal(a, b)
