"""Other calls of an operator, made from its schema: types, ranks, sizes, and each argument."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from harness.upstream import quiet
from harness.zoo.program import Example, Program, Values, overload_of
from harness.zoo.samples import samples

__all__ = ["programs"]

_SHAPES = ((), (4,), (2, 3), (2, 1, 3), (2, 2, 1, 3))
_EMPTY = (0, 3)
_BROADCAST = (
    ((2, 3), (3,)), ((2, 1), (1, 3)), ((), (2, 3)), ((2, 3), ()), ((3, 1, 2), (1, 4, 1)),
)  # fmt: skip
_TYPES = ("bfloat16", "int64", "int32", "bool")
_MIXED = (("float32", "int64"), ("int64", "float32"), ("bfloat16", "float32"), ("bool", "int64"))

_BASES = 6
"""Samples whose variations are looked at, and of OpInfo's own that are taken as they are."""

_MOST = 16
"""Programs of one operator, and of one pattern."""
_MOST_OF_PATTERN = 2

_CHOOSING = {
    "argmax", "argmin", "argsort", "max_pool1d", "max_pool2d", "max_pool3d", "sort", "topk",
}  # fmt: skip
"""Operators that return places, which are anybody's choice where values are equal."""

_IN_FLOAT32 = ("add", "sub", "mul", "div")
"""Operators of which torch keeps a number in float32 beside a 16-bit tensor; in others, not."""

_MOST_IN_PLACE = 2
"""Exported, an operator in place is the other one."""


def programs(target: str, most: int = _MOST) -> list[Program]:
    """Different programs of one operator, as many patterns as there are first."""
    found: dict[str, tuple[int, int, Program]] = {}
    counts: dict[str, int] = {}
    if target.partition(".")[2].partition(".")[0].endswith("_"):
        most = min(most, _MOST_IN_PLACE)
    with quiet(), torch.no_grad():
        for order, (pattern, example) in enumerate(_candidates(target)):
            number = counts.get(pattern, 0)
            if number >= _MOST_OF_PATTERN:
                continue
            program = Program.of(example, pattern)
            if program is None or program.key in found or not _accepted(program):
                continue
            counts[pattern] = number + 1
            found[program.key] = (number, order, program)
    ordered = sorted(found.values(), key=lambda one: one[:2])
    return [program for _, _, program in ordered][:most]


def _candidates(target: str) -> Iterator[tuple[str, Example]]:
    """What may be tried; where several answers would be right, nothing."""
    if target.split(".")[1].removesuffix("_with_indices") not in _CHOOSING:
        yield from _calls(target)
        return
    for pattern, example in _calls(target):
        x = next((n for n, v in example.arguments.items() if isinstance(v, Values)), None)
        if x is None or example.arguments.get("sorted") is False:
            continue
        values = example.arguments[x]
        if values.dtype == "bool" or (values.dtype == "bfloat16" and prod(values.shape) > 256):
            continue
        yield pattern, example.changed(**{x: replace(values, distinct=True, written="")})


def _calls(target: str) -> Iterator[tuple[str, Example]]:
    bases = samples(target)
    shapes: set[str] = set()
    for example in bases:
        pattern = _own_pattern(example)
        if pattern not in shapes:
            shapes.add(pattern)
            yield pattern, example
    for example in _spread(bases):
        yield from _variations(example)


def _spread(bases: list[Example]) -> list[Example]:
    """A few of the samples that differ in which arguments they give."""
    kinds: dict[str, Example] = {}
    for example in bases:
        kinds.setdefault(_own_pattern(example), example)
    return list(kinds.values())[:_BASES]


def _own_pattern(example: Example) -> str:
    """How a sample calls the operator: the arguments that are not tensors."""
    parts = []
    schema = overload_of(example.target)._schema.arguments
    usual = {argument.name: argument.default_value for argument in schema}
    for name, value in example.arguments.items():
        if isinstance(value, Values) or (name in usual and usual[name] == value):
            continue
        if isinstance(value, list) and any(isinstance(one, Values) for one in value):
            parts.append(f"{name}: {len(value)}")
        elif isinstance(value, list):
            parts.append(f"{name}=[…]" if len(value) > 1 else f"{name}={value}")
        elif isinstance(value, float | int) and not isinstance(value, bool):
            sign = "-" if value < 0 else ""
            parts.append(f"{name}={sign}{type(value).__name__}")
        else:
            parts.append(f"{name}={value}")
    return ", ".join(parts) or "plain"


def _variations(example: Example) -> Iterator[tuple[str, Example]]:
    """One call of each kind of variation in turn, so that the first few are of every kind."""
    tensors = [name for name, value in example.arguments.items() if isinstance(value, Values)]
    kinds = [_by_argument(example)]
    if tensors:
        kinds += [_types(example, tensors), _float_scalars(example, tensors)]
        kinds += [_shapes(example, tensors), _pairs(example, tensors)]
    while kinds:
        for kind in list(kinds):
            made = next(kind, None)
            if made is None:
                kinds.remove(kind)
            else:
                yield made


def _types(example: Example, tensors: list[str]) -> Iterator[tuple[str, Example]]:
    for name in _TYPES:
        yield name, _cast(example, tensors, name)


def _shapes(example: Example, tensors: list[str]) -> Iterator[tuple[str, Example]]:
    arguments, first = example.arguments, tensors[0]
    x = arguments[first]
    free = [name for name in tensors if not arguments[name].written]
    for shape in (*_SHAPES[:1], _EMPTY, *_SHAPES[1:]):
        pattern = f"rank {len(shape)}" if shape != _EMPTY else "empty"
        yield pattern, example.changed(**{first: replace(x, shape=shape)})
        yield pattern, example.changed(**{n: replace(arguments[n], shape=shape) for n in free})
    if x.shape and not x.written:
        yield "without the first axis", example.changed(**{first: replace(x, shape=x.shape[1:])})
        yield "size 1", example.changed(**{first: replace(x, shape=(1, *x.shape[1:]))})
        yield "one axis more", example.changed(**{first: replace(x, shape=(2, *x.shape))})


def _pairs(example: Example, tensors: list[str]) -> Iterator[tuple[str, Example]]:
    if len(tensors) < 2:
        return
    first, second = tensors[:2]
    x, y = example.arguments[first], example.arguments[second]
    for (one, other), types in itertools.zip_longest(_BROADCAST, _MIXED):
        changed = {first: replace(x, shape=one), second: replace(y, shape=other)}
        yield "broadcast", example.changed(**changed)
        if types:
            changed = {first: _typed(x, types[0]), second: _typed(y, types[1])}
            yield f"{types[0]} with {types[1]}", example.changed(**changed)


def _by_argument(example: Example) -> Iterator[tuple[str, Example]]:
    """One argument at a time with values that are not its default."""
    for argument in overload_of(example.target)._schema.arguments:
        name, kind = argument.name, str(argument.type)
        if name in ("layout", "pin_memory", "device", "memory_format", "generator"):
            continue
        has = name in example.arguments
        value = example.arguments.get(name, argument.default_value if not has else None)
        for other in _others(name, kind, value):
            yield f"{name}={other}", example.changed(**{name: other})


def _others(name: str, kind: str, value: Any) -> Iterator[Any]:
    optional = kind.startswith("Optional[")
    bare = kind.removeprefix("Optional[").removesuffix("]") if optional else kind
    if optional and value is not None:
        yield None
    if name == "dtype":
        yield from (torch.float32, torch.bfloat16, torch.int64, torch.bool)
    elif name == "rounding_mode":
        yield from ("floor", "trunc", None)
    elif name == "approximate":
        yield from ("tanh", "none")
    elif bare == "bool":
        yield from ((True, False) if value is None else (not value,))
    elif name in ("dim", "axis", "dim0", "dim1", "start_dim", "end_dim") and bare in (
        "int",
        "number",
    ):
        yield from (other for other in (-1, 0, 1, -2) if other != value)
    elif name in ("dim", "dims") and bare.startswith("List"):
        yield from ([-1], [0], [0, 1], [0, -1], [])
    elif bare in ("int", "SymInt", "number") and isinstance(value, int | float):
        yield from (value + 1, value - 1, 2)
    elif bare in ("int", "SymInt", "number") and optional:
        yield from (1, 0)
    elif bare == "float" and isinstance(value, int | float):
        yield from (value * 2 + 0.5, 0.0)
    elif bare in ("List[int]", "List[SymInt]") and value and _whole(value):
        yield [one + 1 for one in value]
        if len(value) > 1:
            yield [value[0] + 1, *value[1:]]


def _whole(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, int) for one in value)


def _float_scalars(example: Example, tensors: list[str]) -> Iterator[tuple[str, Example]]:
    """Fractions beside integer tensors, and integers beside floating point."""
    for argument in overload_of(example.target)._schema.arguments:
        if "number" not in str(argument.type) or argument.name == "correction":
            continue
        name = argument.name
        for scalar in (2.5, 0.5):
            whole = _cast(example, tensors, "int64")
            yield f"int64, {name}={scalar}", whole.changed(**{name: scalar})
        if example.target.split(".")[1] in _IN_FLOAT32:
            half = _cast(example, tensors, "bfloat16")
            yield f"bfloat16, {name}=0.1", half.changed(**{name: 0.1})
        yield f"float32, {name}=2", _cast(example, tensors, "float32").changed(**{name: 2})


def _cast(example: Example, tensors: list[str], dtype: str) -> Example:
    """Every tensor of floating point in another type; all, if none is one."""
    values: Mapping[str, Any] = example.arguments
    chosen = [name for name in tensors if values[name].floating] or tensors[:1]
    return example.changed(**{name: _typed(values[name], dtype) for name in chosen})


def _typed(values: Values, dtype: str) -> Values:
    if values.written and dtype == "bool":
        return Values(dtype, values.shape)
    if not values.floating or dtype in ("float32", "bfloat16"):
        return replace(values, dtype=dtype)
    return replace(values, dtype=dtype, high=max(values.high, values.low + 4))


def _accepted(program: Program) -> bool:
    """Whether eager takes the call, says the same twice, and makes plain tensors."""
    try:
        module, inputs = program.module(), program.tensors()
        once, again = (pytree.tree_leaves(module(*(x.clone() for x in inputs))) for _ in range(2))
    except Exception:
        return False
    if not once or not all(isinstance(one, Tensor) and not one.is_complex() for one in once):
        return False
    with contextlib.suppress(RuntimeError):
        return all(
            torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in zip(once, again, strict=True)
        )
    return False
