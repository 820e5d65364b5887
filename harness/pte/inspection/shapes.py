"""Shapes and types of the temporaries of an MLX delegate, which its payload leaves out.

They follow from those of constants, inputs and buffers, instruction by instruction. What depends
on a call is None, and so is whatever a rule is missing for: nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from harness.pte.dtypes import SCALAR_TYPES
from harness.pte.inspection.model import Size, Tensor
from harness.pte.payload import MLXGraph, Tid, Vid

__all__ = ["declared", "result_types"]

UNKNOWN = Tensor(None, None)


def _nodes(names: str) -> frozenset[str]:
    return frozenset(f"{name}Node" for name in names.split())


_SAME = _nodes(
    "IdCopy RMSNorm LayerNorm Rope Gelu Silu Sigmoid Tanh Rsqrt Log Softmax Contiguous Tril Triu "
    "Floor Ceil Square Exp Sin Cos Tan Arcsin Arccos Arctan Sinh Cosh Arcsinh Arccosh Arctanh Log2 "
    "Log10 Log1p Erf Expm1 Round Reciprocal Sqrt Abs Neg Clip Cumsum Sign Sort Partition "
    "BitwiseInvert Roll Trunc Flip ScatterAdd"
)
_PAIRS = _nodes(
    "Add Multiply Divide Subtract Maximum Minimum Atan2 LogAddExp FloorDivide Power Remainder "
    "BitwiseAnd BitwiseOr BitwiseXor"
)
_TESTS = _nodes("Less LessEqual Greater GreaterEqual Equal NotEqual LogicalAnd LogicalOr")
_REDUCTIONS = _nodes("LogSumExp Sum Mean Var Std Prod Max Min Median Any All")
_ARGUMENTS = _nodes("Argmax Argmin")


def declared(graph: MLXGraph, tid: Tid) -> Tensor:
    """What the payload says of a tensor."""
    meta = graph.meta[tid.idx] if tid.idx < len(graph.meta) else None
    if meta is None:
        return UNKNOWN
    shape = tuple(dim.size for dim in meta.shape)
    most = tuple(dim.most for dim in meta.shape) if None in shape else None
    return Tensor(meta.scalar.name, shape, most)


def result_types(graph: MLXGraph, chain: int) -> list[tuple[dict[int, Tensor], list[Tensor]]]:
    """For each instruction of a chain: types of the slots it reads, and of what it makes."""
    slots = {
        index: declared(graph, Tid(index))
        for index in range(min(graph.tensors, len(graph.meta)))
        if graph.meta[index] is not None
    }
    if graph.init is not None and chain != graph.init:
        _run_types(graph, graph.init, slots)
    return _run_types(graph, chain, slots)


def _run_types(
    graph: MLXGraph, chain: int, slots: dict[int, Tensor]
) -> list[tuple[dict[int, Tensor], list[Tensor]]]:
    """`result_types` from given `slots`, which are brought up to date."""
    found = []
    for node in graph.chains[chain]:
        read = {
            tid.idx: slots.get(tid.idx, UNKNOWN)
            for name, value in vars(node).items()
            if name not in ("out", "outs", "outputs")
            for tid in _tids(value)
        }
        try:
            made = _made(node, lambda tid: slots.get(tid.idx, UNKNOWN))
        except (ArithmeticError, IndexError, KeyError, TypeError, ValueError):
            made = []  # a damaged program; running it says more
        outs = [
            slot for name in ("out", "outs", "outputs") for slot in _tids(getattr(node, name, ()))
        ]
        made = (made + [UNKNOWN] * len(outs))[: len(outs)]
        slots.update((slot.idx, tensor) for slot, tensor in zip(outs, made, strict=True))
        found.append((read, made))
    return found


def _tids(value: Any) -> Iterable[Tid]:
    for item in value if isinstance(value, tuple) else (value,):
        if isinstance(item, Tid):
            yield item


def _made(node: Any, typed: Callable[[Tid], Tensor]) -> list[Tensor]:
    name = type(node).__name__
    if name in _SAME:
        return [_plain(typed(node.x))]
    if name in _PAIRS:
        a, b = typed(node.a), typed(node.b)
        return [Tensor(_wider(a.dtype, b.dtype), _broadcast(a.shape, b.shape))]
    if name in _TESTS:
        return [Tensor("bool", _broadcast(typed(node.a).shape, typed(node.b).shape))]
    if name in _REDUCTIONS:
        x = typed(node.x)
        dtype = "bool" if name in ("AnyNode", "AllNode") else x.dtype
        axes = node.axes or tuple(range(len(x.shape or ())))
        return [Tensor(dtype, _reduced(x.shape, axes, node.keepdims))]
    if name in _ARGUMENTS:
        return [Tensor("uint32", _reduced(typed(node.x).shape, (node.axis,), node.keepdims))]
    rule = _RULES.get(name)
    return rule(node, typed) if rule else []


def _plain(tensor: Tensor) -> Tensor:
    return Tensor(tensor.dtype, tensor.shape)


def _wider(a: str | None, b: str | None) -> str | None:
    return a if a == b else None


def _broadcast(a: Sequence[Size] | None, b: Sequence[Size] | None) -> tuple[Size, ...] | None:
    if a is None or b is None:
        return None
    rank = max(len(a), len(b))
    one = [1] * (rank - len(a)) + list(a)
    two = [1] * (rank - len(b)) + list(b)
    return tuple(y if x == 1 else x if y == 1 else x if x is not None else y
                 for x, y in zip(one, two, strict=True))  # fmt: skip


def _reduced(
    shape: Sequence[Size] | None, axes: Sequence[int], keepdims: bool
) -> tuple[Size, ...] | None:
    if shape is None:
        return None
    gone = {axis % len(shape) for axis in axes}
    return tuple(
        1 if axis in gone else size
        for axis, size in enumerate(shape)
        if keepdims or axis not in gone
    )


def _sizes(literals: Sequence[Any]) -> tuple[Size, ...]:
    return tuple(None if isinstance(n, Vid) else n for n in literals)


def _scalar(number: int | None, otherwise: str | None = None) -> str | None:
    scalar = None if number is None else SCALAR_TYPES.get(number)
    return scalar.name if scalar else otherwise


def _with(shape: Sequence[Size], axis: int, size: Size) -> tuple[Size, ...]:
    changed = list(shape)
    changed[axis] = size
    return tuple(changed)


def _addmm(n: Any, typed: Any) -> list[Tensor]:
    a, b = typed(n.mat1), typed(n.mat2)
    if a.shape is None or b.shape is None:
        return [Tensor(a.dtype, None)]
    return [Tensor(a.dtype, (*a.shape[:-1], b.shape[-1]))]


def _quantized_matmul(n: Any, typed: Any) -> list[Tensor]:
    x, w = typed(n.x), typed(n.w)
    if x.shape is None or w.shape is None:
        return [Tensor(x.dtype, None)]
    wide = w.shape[-2] if n.transpose else w.shape[-1] * 32 // n.bits
    return [Tensor(x.dtype, (*x.shape[:-1], wide))]


def _dequantize(n: Any, typed: Any) -> list[Tensor]:
    w, scales = typed(n.w), typed(n.scales)
    shape = None if w.shape is None else _with(w.shape, -1, w.shape[-1] * 32 // n.bits)
    return [Tensor(_scalar(n.dtype, scales.dtype), shape)]


def _reshape(n: Any, typed: Any) -> list[Tensor]:
    x = typed(n.x)
    shape = _sizes(n.shape)
    if -1 in shape:
        known = None if x.shape is None or None in x.shape or None in shape else x.shape
        rest = 1
        for size in shape:
            rest *= size if size not in (-1, None) else 1
        total = 1
        for size in known or ():
            total *= size
        shape = tuple((total // rest if known is not None else None) if s == -1 else s
                      for s in shape)  # fmt: skip
    return [Tensor(x.dtype, shape)]


def _transpose(n: Any, typed: Any) -> list[Tensor]:
    x = typed(n.x)
    return [Tensor(x.dtype, None if x.shape is None else tuple(x.shape[i] for i in n.perm))]


def _expand_dims(n: Any, typed: Any) -> list[Tensor]:
    x = typed(n.x)
    if x.shape is None:
        return [_plain(x)]
    at = n.axis % (len(x.shape) + 1)
    return [Tensor(x.dtype, (*x.shape[:at], 1, *x.shape[at:]))]


def _squeeze(n: Any, typed: Any) -> list[Tensor]:
    x = typed(n.x)
    if x.shape is None:
        return [_plain(x)]
    gone = {axis % len(x.shape) for axis in n.dims} or {i for i, s in enumerate(x.shape) if s == 1}
    return [Tensor(x.dtype, tuple(s for i, s in enumerate(x.shape) if i not in gone))]


def _take(n: Any, typed: Any) -> list[Tensor]:
    x = typed(n.x)
    index = typed(n.index).shape if isinstance(n.index, Tid) else ()
    if x.shape is None or index is None:
        return [Tensor(x.dtype, None)]
    axis = n.axis % len(x.shape)
    return [Tensor(x.dtype, (*x.shape[:axis], *index, *x.shape[axis + 1 :]))]


def _slice(n: Any, typed: Any) -> list[Tensor]:
    x = typed(n.x)
    if x.shape is None or isinstance(n.axis, Vid):
        return [Tensor(x.dtype, None)]
    size = x.shape[n.axis]
    if size is None or isinstance(n.start, Vid) or isinstance(n.stop, Vid):
        return [Tensor(x.dtype, _with(x.shape, n.axis, None))]
    kept = len(range(*slice(n.start, n.stop, n.step).indices(size)))
    return [Tensor(x.dtype, _with(x.shape, n.axis, kept))]


def _split(n: Any, typed: Any) -> list[Tensor]:
    x = typed(n.x)
    if x.shape is None:
        return [Tensor(x.dtype, None)] * len(n.outs)
    sizes = _sizes(n.sizes)
    if len(sizes) == 1 and len(n.outs) > 1:
        whole, part = x.shape[n.axis], sizes[0]
        if whole is None or part is None:
            return [Tensor(x.dtype, _with(x.shape, n.axis, None))] * len(n.outs)
        sizes = tuple(min(part, whole - part * i) for i in range(len(n.outs)))
    return [Tensor(x.dtype, _with(x.shape, n.axis, size)) for size in sizes]


def _concatenate(n: Any, typed: Any) -> list[Tensor]:
    parts = [typed(tid) for tid in n.tensors]
    dtype = parts[0].dtype if len({p.dtype for p in parts}) == 1 else None
    if any(p.shape is None for p in parts):
        return [Tensor(dtype, None)]
    along = [p.shape[n.axis] for p in parts]
    size = None if None in along else sum(along)
    return [Tensor(dtype, _with(parts[0].shape, n.axis, size))]


def _stack(n: Any, typed: Any) -> list[Tensor]:
    first = typed(n.tensors[0])
    if first.shape is None:
        return [_plain(first)]
    at = n.axis % (len(first.shape) + 1)
    return [Tensor(first.dtype, (*first.shape[:at], len(n.tensors), *first.shape[at:]))]


def _pad(n: Any, typed: Any) -> list[Tensor]:
    x, widths = typed(n.x), _sizes(n.pad_width)
    if x.shape is None or len(widths) != 2 * len(x.shape):
        return [Tensor(x.dtype, None)]
    return [
        Tensor(
            x.dtype,
            tuple(
                None if None in (size, *widths[2 * i : 2 * i + 2]) else
                size + widths[2 * i] + widths[2 * i + 1]
                for i, size in enumerate(x.shape)
            ),
        )
    ]  # fmt: skip


def _where(n: Any, typed: Any) -> list[Tensor]:
    c, x, y = typed(n.condition), typed(n.x), typed(n.y)
    return [Tensor(_wider(x.dtype, y.dtype), _broadcast(c.shape, _broadcast(x.shape, y.shape)))]


def _arange(n: Any, typed: Any) -> list[Tensor]:
    literals = (n.start, n.stop, n.step)
    count = None if any(isinstance(v, Vid) for v in literals) else len(range(*literals))
    return [Tensor(_scalar(n.scalar_type, "int32"), (count,))]


def _sdpa(n: Any, typed: Any) -> list[Tensor]:
    q, v = typed(n.q), typed(n.v)
    if q.shape is None or v.shape is None:
        return [Tensor(q.dtype, None)]
    return [Tensor(q.dtype, (*q.shape[:-1], v.shape[-1]))]


def _conv(n: Any, typed: Any) -> list[Tensor]:
    x, w = typed(n.x), typed(n.w)
    if x.shape is None or w.shape is None:
        return [Tensor(x.dtype, None)]
    letters = {3: ("",), 4: ("_h", "_w"), 5: ("_d", "_h", "_w")}[len(x.shape)]
    transposed = type(n).__name__.startswith("ConvTranspose")
    sizes: list[Size] = []
    for i, letter in enumerate(letters):
        size, taps = x.shape[1 + i], w.shape[1 + i]
        stride, padding, dilation = (
            getattr(n, f"{kind}{letter}") for kind in ("stride", "padding", "dilation")
        )
        if size is None or taps is None:
            sizes.append(None)
        elif transposed:
            extra = getattr(n, f"output_padding{letter}")
            sizes.append((size - 1) * stride - 2 * padding + dilation * (taps - 1) + extra + 1)
        else:
            sizes.append((size + 2 * padding - dilation * (taps - 1) - 1) // stride + 1)
    return [Tensor(x.dtype, (x.shape[0], *sizes, w.shape[0]))]


_RULES: dict[str, Callable[[Any, Any], list[Tensor]]] = {
    "AddmmNode": _addmm,
    "ARangeNode": _arange,
    "ArgsortNode": lambda n, typed: [Tensor("uint32", typed(n.x).shape)],
    "AsTypeNode": lambda n, typed: [Tensor(_scalar(n.scalar_type), typed(n.x).shape)],
    "AsStridedNode": lambda n, typed: [Tensor(typed(n.x).dtype, _sizes(n.shape))],
    "BroadcastToNode": lambda n, typed: [
        Tensor(
            typed(n.x).dtype,
            tuple(None if s == -1 else s for s in _sizes(n.shape)),
        )
    ],
    "ConcatenateNode": _concatenate,
    "DequantizeNode": _dequantize,
    "ExpandDimsNode": _expand_dims,
    "FullNode": lambda n, typed: [Tensor(_scalar(n.scalar_type, "float32"), _sizes(n.shape))],
    "FullLikeNode": lambda n, typed: [
        Tensor(_scalar(n.scalar_type, typed(n.x).dtype), typed(n.x).shape)
    ],
    "GatherNode": lambda n, typed: [Tensor(typed(n.x).dtype, None)],
    "IndexCopyNode": lambda n, typed: [_plain(typed(n.dst))],
    "LogicalNotNode": lambda n, typed: [Tensor("bool", typed(n.x).shape)],
    "PadNode": _pad,
    "QuantizedMatmulNode": _quantized_matmul,
    "RandomBitsNode": lambda n, typed: [Tensor(None, _sizes(n.shape))],
    "ReshapeNode": _reshape,
    "SdpaNode": _sdpa,
    "SliceNode": _slice,
    "SliceUpdateNode": lambda n, typed: [_plain(typed(n.dst))],
    "SplitNode": _split,
    "SqueezeNode": _squeeze,
    "StackNode": _stack,
    "TakeNode": _take,
    "TakeAlongAxisNode": lambda n, typed: [Tensor(typed(n.x).dtype, typed(n.indices).shape)],
    "TransposeNode": _transpose,
    "TriNode": lambda n, typed: [Tensor(_scalar(n.scalar_type), _sizes((n.n, n.m)))],
    "WhereNode": _where,
    **dict.fromkeys(
        (f"Conv{kind}{rank}DNode" for kind in ("", "Transpose") for rank in (1, 2, 3)), _conv
    ),
}
