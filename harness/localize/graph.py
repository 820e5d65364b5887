"""The graph that was lowered, run in float64 node by node, and the model's modules likewise."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.export.graph_signature import ConstantArgument, InputKind
from torch.fx import Interpreter, Node

from harness.arrays import Array, from_torch, to_torch
from harness.export.graph_nodes import computing, module_of
from harness.reference.oracle import dequantized

__all__ = ["IN_FLOAT64", "Graph", "wide_type", "widened", "with_eps", "with_own_buffers"]

M = TypeVar("M", bound=nn.Module)

_USER = InputKind.USER_INPUT
_NARROW = (torch.float32, torch.bfloat16, torch.float16)


class Graph:
    """The exported program of one method, in float64; its state lasts from call to call.

    Attributes
    ----------
    nodes
        That compute, by name, in order.
    returning
        The node that takes all that is returned.
    returned
        The tensors that the last call returned.
    """

    def __init__(self, program: ExportedProgram) -> None:
        module: Any = with_own_buffers(program.module(check_guards=False))
        self._interpreter = _Widened(module)
        self.nodes = {node.name: node for node in module.graph.nodes if node.op == "call_function"}
        self.returning: Node = module.graph.output_node()
        self.returned: tuple[Array, ...] = ()
        arguments = (s.arg for s in program.graph_signature.input_specs if s.kind is _USER)
        self._fixed = [(a.value,) if isinstance(a, ConstantArgument) else () for a in arguments]

    def call(self, inputs: Sequence[Array]) -> dict[str, Any]:
        """The value of each node that computes, by its name, in order."""
        self._call(inputs)
        return self._interpreter.values

    def outputs(self, inputs: Sequence[Array], changed: Sequence[int] = ()) -> tuple[Array, ...]:
        """What the inputs of these numbers are after a call, then the tensors that it returns."""
        tensors = self._call(inputs)
        after = tuple(from_torch(tensors[i].detach()).copy() for i in changed)
        return (*after, *self.returned)

    def given(self, module: str, among: Container[str]) -> str | None:
        """The first node outside of a module, by its path, whose value it takes.

        Only nodes `among` those named count: parts of weights are nodes, too.
        """
        for name, node in self.nodes.items():
            if self._inside(name, module):
                names = (s.name for s in node.all_input_nodes if s.name in self.nodes)
                outside = (s for s in names if s in among and not self._inside(s, module))
                if (found := next(outside, None)) is not None:
                    return found
        return None

    def _inside(self, name: str, module: str) -> bool:
        return f"{module_of(computing(self.nodes[name])[0])}.".startswith(f"{module}.")

    def _call(self, inputs: Sequence[Array]) -> list[Tensor]:
        tensors = [widened(to_torch(value.copy())) for value in inputs]
        rest = iter(tensors)
        given = [fixed[0] if fixed else next(rest) for fixed in self._fixed]
        made = torch.utils._pytree.tree_leaves(self._run(given))
        tensors_made = (tensor for tensor in made if isinstance(tensor, Tensor))
        self.returned = tuple(from_torch(tensor.detach()).copy() for tensor in tensors_made)
        return tensors

    def _run(self, tensors: Sequence[Any]) -> Any:
        self._interpreter.values = {}
        usual = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)
        try:
            with torch.no_grad():
                return self._interpreter.run(*tensors)
        finally:
            torch.set_default_dtype(usual)

    def value(self, node: Node) -> Any:
        """What any node, an input or a weight too, was in the last call."""
        return self._interpreter.env[node]


def with_own_buffers(module: M) -> M:
    """A copy of a module whose buffers are its own; weights are shared.

    The module of an exported program has the program's buffers, and changes them.
    """
    shared: dict[int, Any] = {id(weight): weight for weight in module.parameters()}
    return copy.deepcopy(module, shared)


class _Widened(Interpreter):
    """Runs a graph with every tensor of floating point in float64."""

    def __init__(self, module: Any) -> None:
        super().__init__(module, garbage_collect_values=False)
        self.values: dict[str, Any] = {}
        self._attributes: dict[str, Any] = {}

    def run_node(self, n: Node) -> Any:
        made = super().run_node(n)
        if n.op == "call_function":
            # What a later node overwrites must stay as it was made.
            self.values[n.name] = _whole(n, made).clone() if isinstance(made, Tensor) else made
        return made

    def get_attr(self, target: Any, args: Any, kwargs: Any) -> Any:
        if target not in self._attributes:
            self._attributes[target] = widened(super().get_attr(target, args, kwargs))
        return self._attributes[target]

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        function = IN_FLOAT64.get(str(target), target)
        args, kwargs = torch.utils._pytree.tree_map(wide_type, (args, dict(kwargs)))
        if str(target) == "aten.rms_norm.default":
            args = with_eps(args)
        # The parts of a quantised weight are taken out by operators of their own.
        return widened(super().call_function(function, args, kwargs))


def _whole(node: Node, made: Tensor) -> Tensor:
    """What a node makes; of one that writes into a part of a tensor, all of that tensor.

    A lowered graph has no writing into parts: it makes the whole anew.
    """
    writes = getattr(getattr(node.target, "_schema", None), "is_mutable", False)
    return made._base if writes and made._base is not None else made


def widened(value: Any) -> Any:
    """A tensor of floating point in float64, but for the parts of a quantised one; others as is."""
    narrow = isinstance(value, Tensor) and value.dtype in _NARROW and not hasattr(value, "qdata")
    return value.double() if narrow else value


def wide_type(value: Any) -> Any:
    """float64 in the place of a type of floating point; other values as they are."""
    return torch.float64 if value in _NARROW and isinstance(value, torch.dtype) else value


def with_eps(args: Sequence[Any], kwargs: Mapping[str, Any] | None = None) -> tuple[Any, ...]:
    """All arguments of ``rms_norm``; an eps of None is float32's, of 16-bit inputs too."""
    given = dict(zip(("input", "normalized_shape", "weight", "eps"), args, strict=False))
    given |= kwargs or {}
    eps = given.get("eps")
    eps = torch.finfo(torch.float32).eps if eps is None else eps
    return given["input"], given["normalized_shape"], given.get("weight"), eps


def _rope(
    x: Tensor,
    dims: int,
    offset: Any,
    traditional: bool = False,
    base: float = 500000.0,
    scale: float = 1.0,
    freqs: Any = None,
) -> Tensor:
    """`torch.ops.mlx.rope`, whose own angles are float32."""
    head, rest = x[..., :dims], x[..., dims:]
    pace = base ** (-torch.arange(0, dims, 2, dtype=torch.float64) / dims)
    pace = pace if freqs is None else 1.0 / freqs
    angles = torch.outer((int(offset) + torch.arange(x.shape[-2])).double() * scale, pace)
    cos, sin = angles.cos(), angles.sin()
    a, b = (head[..., 0::2], head[..., 1::2]) if traditional else head.chunk(2, -1)
    turned = (a * cos - b * sin, b * cos + a * sin)
    made = torch.stack(turned, -1).flatten(-2) if traditional else torch.cat(turned, -1)
    return torch.cat([made, rest], -1)


def _sdpa(
    q: Tensor, k: Tensor, v: Tensor, start: Any, mask: Any = None, dropout: float = 0.0,
    causal: bool = False, scale: float | None = None,
) -> Tensor:  # fmt: skip
    """`torch.ops.mlx.custom_sdpa`: over the first ``start + S`` slots of the cache."""
    end = int(start) + q.shape[2]
    groups = q.shape[1] // k.shape[1]
    k, v = (t[:, :, :end].repeat_interleave(groups, 1) for t in (k, v))
    scores = q @ k.transpose(-1, -2) * (1 / math.sqrt(q.shape[-1]) if scale is None else scale)
    if causal:
        allowed = torch.ones(q.shape[2], end, dtype=torch.bool).tril(int(start))
        scores = scores.masked_fill(~allowed, -math.inf)
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf) if mask.dtype is torch.bool else scores + mask
    return scores.softmax(-1) @ v


def _dequantize(
    values: Tensor, block: Sequence[int], scale: Tensor, zero: Tensor | None, *_types: Any
) -> Tensor:
    """`torch.ops.torchao.dequantize_affine` for groups along a row, without rounding."""
    return dequantized(values, scale, zero)


IN_FLOAT64: Mapping[str, Callable[..., Any]] = {
    "mlx.rope.default": _rope,
    "mlx.custom_sdpa.default": _sdpa,
    "torchao.dequantize_affine.default": _dequantize,
}
"""Operators that work in float32 by themselves."""
