"""Any module in float64: what it means, without rounding.

Weights are widened exactly, and every operator that the module calls works on float64, whatever
type the module's code asks for. Quantised weights are dequantised without rounding.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from harness.localize.graph import IN_FLOAT64, wide_type, widened, with_eps
from harness.reference.oracle import dequantized

__all__ = ["exact_module", "in_float64"]


def exact_module(module: nn.Module) -> nn.Module:
    """A copy of `module` with every floating-point tensor widened to float64."""
    twin = copy.deepcopy(module)
    kept: dict[int, Tensor] = {}

    def wide(tensor: Tensor) -> Tensor:
        if id(tensor) not in kept:  # tied weights stay tied
            kept[id(tensor)] = _exactly(tensor)
        return kept[id(tensor)]

    for part in twin.modules():
        for name, weight in list(part._parameters.items()):
            if weight is not None and _is_float(weight):
                part._parameters[name] = nn.Parameter(wide(weight), requires_grad=False)
        for name, buffer in list(part._buffers.items()):
            if buffer is not None and _is_float(buffer):
                part._buffers[name] = wide(buffer)
        for name, value in list(vars(part).items()):
            if isinstance(value, Tensor) and _is_float(value):
                setattr(part, name, wide(value))
    return twin


def _is_float(tensor: Tensor) -> bool:
    return tensor.is_floating_point() or hasattr(tensor, "qdata")


def _exactly(tensor: Tensor) -> Tensor:
    if hasattr(tensor, "qdata"):
        return dequantized(tensor.qdata, tensor.scale.double(), tensor.zero_point.double())
    return tensor.detach().double()


@contextlib.contextmanager
def in_float64() -> Iterator[None]:
    """Let every operator work on float64, and make float64 where it makes floating point."""
    usual = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.no_grad(), _Norms(), _Widening():
            yield
    finally:
        torch.set_default_dtype(usual)


class _Widening(TorchDispatchMode):
    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        args, kwargs = pytree.tree_map(lambda v: widened(wide_type(v)), (args, kwargs or {}))
        return pytree.tree_map(widened, IN_FLOAT64.get(str(func), func)(*args, **kwargs))


class _Norms(TorchFunctionMode):
    """An RMS norm whose eps is None has that of the type that the module was written for."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if getattr(func, "__name__", "") in ("rms_norm", "rms_norm.default"):
            return torch.rms_norm(*with_eps(args, kwargs))
        return func(*args, **(kwargs or {}))
