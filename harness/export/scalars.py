"""A number beside a tensor of another kind: stock gives it the tensor's type, ``i < 2.5`` to 2.

Stock lifts every number with one function, to the type of the first tensor. Lifted to the common
type that torch takes, MLX's own promotion does the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import torch

from harness.export.emitting import emit
from harness.export.patching import Handler, handled, patched, registry

__all__ = ["in_common_type", "in_float32"]

_ATEN = torch.ops.aten

_TENSORS = ("add", "sub", "mul", "div", "lt", "le", "gt", "ge", "eq", "ne", "remainder")
"""Operators that also take a number where their schema has a tensor."""

_BY_FLOAT32 = {
    _ATEN.mul.Scalar, _ATEN.mul.Tensor, _ATEN.add.Scalar, _ATEN.add.Tensor, _ATEN.sub.Scalar,
    _ATEN.sub.Tensor, _ATEN.div.Scalar, _ATEN.div.Tensor, _ATEN.leaky_relu.default,
}  # fmt: skip
"""Operators whose number torch keeps in float32 beside a 16-bit tensor."""


@contextmanager
def in_common_type() -> Iterator[None]:
    """Beside an integer or truth value a number has torch's common type of both."""
    with _lifting(_with_numbers(), _mixes, _around(lambda node: _common(node))):
        yield


@contextmanager
def in_float32() -> Iterator[None]:
    """Beside a 16-bit tensor a number stays in float32, and the result is rounded once."""
    with _lifting(_BY_FLOAT32, _rounds, _around(lambda node: torch.float32, cast=True)):
        yield


def _lifting(
    targets: Any, handles: Callable[[Any], bool], around: Callable[[Handler], Handler]
) -> AbstractContextManager[Any]:
    stack = ExitStack()
    for target in targets:
        stack.enter_context(handled(target, handles=handles, around=around))
    return stack


def _with_numbers() -> list[Any]:
    """Operators that stock lowers and that take a number beside a tensor."""
    found = []
    for target in registry()._handlers:
        schema = getattr(target, "_schema", None)
        kinds = [str(argument.type) for argument in schema.arguments] if schema else []
        named = schema is not None and schema.name.partition("::")[2] in _TENSORS
        if "Tensor" in kinds and (named or any("number" in kind for kind in kinds)):
            found.append(target)
    return found


def _around(kind: Callable[[Any], torch.dtype], cast: bool = False) -> Callable[[Handler], Handler]:
    """Stock's handler, its numbers lifted to another type, and its result cast back if asked."""
    from executorch.backends.mlx import ops

    lift = ops.emit_lifted_constant

    def around(stock: Handler) -> Handler:
        def handler(builder: Any, node: Any) -> Any:
            dtype = kind(node)

            def lifted(builder: Any, value: Any, _: torch.dtype) -> Any:
                return lift(builder, value, dtype)

            with patched(ops, "emit_lifted_constant", lifted):
                made = stock(builder, node)
            if not cast:
                return made
            return emit(builder, "AsTypeNode", made, x=made, scalar_type=_kind(node))

        return handler

    return around


def _kind(node: Any) -> int:
    from executorch.backends.mlx.builder.op_helpers import torch_dtype_to_scalar_type

    return int(torch_dtype_to_scalar_type(node.meta["val"].dtype))


def _numbers(node: Any) -> list[float]:
    given = (*node.args, *node.kwargs.values())
    return [value for value in given if isinstance(value, int | float)]


def _first(node: Any) -> Any:
    """What is known of the first tensor."""
    metas = (getattr(value, "meta", {}).get("val") for value in node.args)
    return next((meta for meta in metas if isinstance(meta, torch.Tensor)), None)


def _common(node: Any) -> torch.dtype:
    x = _first(node)
    common: torch.dtype = x.dtype
    for number in _numbers(node):
        # of a tensor with an axis: a number has no say in the width of its kind
        common = torch.result_type(torch.empty(1, dtype=common), number)
    return common


def _mixes(node: Any) -> bool:
    """Whether a number is of a higher kind than the tensor beside it."""
    x = _first(node)
    if x is None or x.dtype.is_floating_point or x.dtype.is_complex:
        return False
    return _common(node) != x.dtype


def _rounds(node: Any) -> bool:
    """Whether a number is none of the 16-bit type of the tensor beside it."""
    x = _first(node)
    if x is None or x.dtype not in (torch.bfloat16, torch.float16):
        return False
    if node.meta["val"].dtype != x.dtype:
        return False
    numbers = _numbers(node) or ([0.01] if "leaky_relu" in str(node.target) else [])
    return any(float(torch.tensor(n, dtype=x.dtype)) != n for n in numbers)
