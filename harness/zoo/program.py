"""One operator, or a few, as a program that can be written down: a call and its inputs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from harness.localize.repro import Repro

__all__ = ["Example", "Program", "Values"]

_MOST_WRITTEN = 32
"""Elements of an integer tensor whose values are kept: indices and sizes must fit the operator."""


@dataclass(frozen=True)
class Values:
    """How an input is made.

    Attributes
    ----------
    dtype
        ``float32``.
    shape
        Its sizes.
    low, high
        Between which values are drawn.
    written
        Python text of the values themselves; empty where they are drawn.
    distinct
        Whether no two may be equal: where two are, several answers are right.
    """

    dtype: str
    shape: tuple[int, ...]
    low: float = -2.0
    high: float = 2.0
    written: str = ""
    distinct: bool = False

    @classmethod
    def like(cls, tensor: Tensor) -> Values | None:
        """Values of a tensor's type, shape and range; None for what cannot be told so."""
        dtype = str(tensor.dtype).removeprefix("torch.")
        shape = tuple(tensor.shape)
        if tensor.is_complex() or tensor.layout is not torch.strided:
            return None
        if tensor.is_floating_point():
            finite = tensor[torch.isfinite(tensor)].double()
            if not finite.numel():
                return cls(dtype, shape)
            return cls(dtype, shape, math.floor(finite.min()), math.ceil(finite.max()))
        if 0 < tensor.numel() <= _MOST_WRITTEN:
            return cls(dtype, shape, written=str(tensor.tolist()))
        if not tensor.numel() or tensor.dtype == torch.bool:
            return cls(dtype, shape)
        return cls(dtype, shape, int(tensor.min()), int(tensor.max()))

    @property
    def floating(self) -> bool:
        """Whether its type is one of floating point."""
        return self.dtype in ("float32", "float64", "float16", "bfloat16")

    def text(self) -> str:
        """Python text that makes the tensor."""
        kind = f"torch.{self.dtype}"
        if self.written:
            return f"torch.tensor({self.written}, dtype={kind})"
        if self.distinct and self.dtype != "float32":
            count = math.prod(self.shape)
            return f"torch.randperm({count}).reshape({self.shape}).sub({count // 2}).to({kind})"
        if self.dtype == "bool":
            return f"torch.rand({self.shape}) > 0.5"
        if not self.floating:
            low = math.floor(self.low)
            high = max(math.ceil(self.high) + 1, low + 2)
            cast = "" if self.dtype == "int64" else f", dtype={kind}"
            return f"torch.randint({low}, {high}, {self.shape}{cast})"
        width = max(self.high - self.low, 1)
        shift = f" {'+' if self.low > 0 else '-'} {abs(self.low):g}" if self.low else ""
        span = "" if width == 1 else f" * {width:g}"
        made = f"torch.rand({self.shape}){span}{shift}"
        if self.dtype == "float32":
            return made
        return f"({made}).to({kind})"


@dataclass(frozen=True)
class Example:
    """Arguments of an operator by name, in the order of its schema; tensors are `Values`."""

    target: str
    arguments: Mapping[str, Any]

    def changed(self, /, **arguments: Any) -> Example:
        """The same with other arguments."""
        return Example(self.target, {**self.arguments, **arguments})


@dataclass(frozen=True)
class Program:
    """A program of the sweep.

    Attributes
    ----------
    target
        The operator, ``aten.sort.default``, or the family that the program is of.
    pattern
        What is special about the call: ``dim=-1``, ``bfloat16``.
    call, inputs, weights
        The call in Python, its tensors being a, b, c, …, and parameters self.p, self.q; text of
        each.
    """

    target: str
    pattern: str
    call: str
    inputs: tuple[str, ...]
    weights: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """By which two runs of the sweep know the program."""
        return "; ".join((self.call, *self.inputs, *self.weights))

    @property
    def repro(self) -> Repro:
        """The same as what upstream is sent."""
        name = self.target.removeprefix("aten.").replace(".", "_").replace(" ", "_")
        return Repro(name.replace("-", "_"), self.call, self.inputs, self.weights)

    def tensors(self) -> tuple[Any, ...]:
        """The inputs, the same each time: tensors, and in a family other things too."""
        return self.repro.tensors()

    def module(self) -> nn.Module:
        """The call as a module."""
        return self.repro.module()

    @classmethod
    def of(cls, example: Example, pattern: str) -> Program | None:
        """An operator's call as a program; None if an argument cannot be written."""
        inputs: list[str] = []

        def text(value: Any) -> str:
            if isinstance(value, Values):
                inputs.append(value.text())
                return "abcdefgh"[len(inputs) - 1]
            if isinstance(value, list | tuple):
                return f"[{', '.join(map(text, value))}]"
            if isinstance(value, float) and not math.isfinite(value):
                return f"float('{value}')"
            if isinstance(value, torch.device):
                return repr(str(value))
            if value is None or isinstance(value, bool | int | float | str | torch.dtype):
                return repr(value)
            raise TypeError

        overload = overload_of(example.target)
        parts: list[str] = []
        try:
            for argument in overload._schema.arguments:
                if argument.name not in example.arguments:
                    continue
                value = text(example.arguments[argument.name])
                positional = not argument.kwarg_only and len(parts) == _place(overload, argument)
                parts.append(value if positional else f"{argument.name}={value}")
        except (TypeError, IndexError):
            return None
        call = f"torch.ops.{example.target}({', '.join(parts)})"
        if overload._schema.name.endswith("_") and parts:  # in place
            call = f"torch.ops.{example.target}({', '.join([f'{parts[0]}.clone()', *parts[1:]])})"
        if not inputs:
            # a program without inputs is folded away
            inputs.append("torch.rand((3,))")
            call = f"({call}, a.neg())"
        return cls(example.target, pattern, call, tuple(inputs))


def overload_of(target: str) -> Any:
    """``aten.sort.default`` as torch's operator."""
    namespace, name, overload = target.split(".")
    return getattr(getattr(getattr(torch.ops, namespace), name), overload)


def _place(overload: Any, argument: Any) -> int:
    return [a.name for a in overload._schema.arguments].index(argument.name)
