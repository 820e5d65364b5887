"""Calls of the operators that the stock partitioner claims, from torch's OpInfo database."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from harness.upstream import enable_mlx_exporter, quiet
from harness.zoo.program import Example, Program, Values, overload_of

__all__ = ["claimed", "samples"]

_SAMPLES = 60
"""Samples of one OpInfo that are looked at; a few operators have hundreds."""

_GREATEST = 4096
"""Elements of the greatest tensor of a sample that is taken."""

_OTHER_NAMES = {
    "_native_batch_norm_legit_no_training": ("nn.functional.batch_norm",),
    "_to_copy": ("to",),
    "convolution": ("nn.functional.conv1d", "nn.functional.conv_transpose2d"),
    "copy": ("copysign", "clone"),
    "index": ("__getitem__",),
    "max_pool1d_with_indices": ("nn.functional.max_pool1d",),
    "max_pool2d_with_indices": ("nn.functional.max_pool2d",),
    "max_pool3d_with_indices": ("nn.functional.max_pool3d",),
    "native_group_norm": ("nn.functional.group_norm",),
    "scalar_tensor": ("scalar_tensor",),
    "upsample_nearest2d": ("nn.functional.upsample_nearest", "nn.functional.interpolate"),
}
"""Operators that torch's functions of other names call."""

_BY_HAND: dict[str, tuple[dict[str, Any], ...]] = {
    "aten.copy.default": (
        {"self": Values("float32", (2, 3)), "src": Values("float32", (2, 3))},
        {"self": Values("float32", (2, 3)), "src": Values("float32", (3,))},
        {"self": Values("float32", (2, 3)), "src": Values("int64", (2, 3), 0, 5)},
    ),
    "aten._native_batch_norm_legit_no_training.default": (
        {
            "input": Values("float32", (2, 3, 4)),
            "weight": Values("float32", (3,)),
            "bias": Values("float32", (3,)),
            "running_mean": Values("float32", (3,)),
            "running_var": Values("float32", (3,), 0.0, 2.0),
            "momentum": 0.1,
            "eps": 1e-5,
        },
    ),
    "aten.clamp.default": (
        {"self": Values("float32", (2, 3)), "min": -0.5, "max": 0.5},
        {"self": Values("float32", (2, 3)), "max": 1},
    ),
    "aten.clamp_.default": ({"self": Values("float32", (2, 3)), "min": -0.5, "max": 0.5},),
    "aten.max_pool1d.default": (
        {"self": Values("float32", (1, 2, 8)), "kernel_size": [3], "stride": [2], "padding": [1]},
        {"self": Values("float32", (2, 8)), "kernel_size": [2], "ceil_mode": True},
    ),
    "aten.max_pool1d_with_indices.default": (
        {"self": Values("float32", (1, 2, 8)), "kernel_size": [3], "stride": [2]},
    ),
    "aten.slice_scatter.default": (
        {
            "self": Values("float32", (4, 3)),
            "src": Values("float32", (2, 3)),
            "dim": 0,
            "start": 1,
            "end": 3,
            "step": 1,
        },
        {
            "self": Values("float32", (3, 4)),
            "src": Values("float32", (3, 2)),
            "dim": -1,
            "start": 0,
            "end": 4,
            "step": 2,
        },
    ),
    "aten.embedding.default": (
        {"weight": Values("float32", (5, 3)), "indices": Values("int64", (2, 4), 0, 4)},
    ),
    "aten.upsample_nearest2d.vec": (
        {
            "input": Values("float32", (1, 2, 3, 3)),
            "output_size": None,
            "scale_factors": [2.0, 2.0],
        },
        {"input": Values("float32", (1, 2, 3, 3)), "output_size": [5, 4], "scale_factors": None},
    ),
}
"""Calls of operators that OpInfo does not know, or calls in one way alone."""


def claimed() -> dict[str, bool]:
    """Names of everything that the partitioner claims, and whether it is an aten operator."""
    enable_mlx_exporter()
    with quiet():
        from executorch.backends.mlx import ops as _registers_handlers  # noqa: F401
        from executorch.backends.mlx.builder.op_registry import REGISTRY
    named = {}
    for target in REGISTRY._handlers:
        aten = isinstance(target, torch._ops.OpOverload) and target.namespace == "aten"
        name = str(target) if aten else getattr(target, "__name__", "") or str(target)
        named[name] = aten
    return dict(sorted(named.items()))


def samples(target: str) -> list[Example]:
    """Different calls of an operator, each as its schema has it; small ones first."""
    with quiet(), torch.no_grad():
        made = [*_samples(target), *_plainest(target, overload_of(target))]
        found = {repr(example): example for example in made}
    return sorted(found.values(), key=_size)


def _samples(target: str) -> Iterator[Example]:
    for arguments in _BY_HAND.get(target, ()):
        yield Example(target, arguments)
    overload = overload_of(target)
    name = overload._schema.name.partition("::")[2]
    for info in _infos(name):
        torch.manual_seed(0)
        try:
            given = info.sample_inputs("cpu", _type(info), requires_grad=False)
            for sample in itertools.islice(given, _SAMPLES):
                yield from _calls(target, overload, info, sample)
        except Exception:  # whatever a sample's generator needs and this machine lacks
            continue


def _plainest(target: str, overload: Any) -> Iterator[Example]:
    """The call with a tensor for each tensor, and 2 for each number, that has no default."""
    arguments: dict[str, Any] = {}
    bits = "bitwise" in target
    for argument in overload._schema.arguments:
        if argument.has_default_value():
            continue
        if str(argument.type) == "Tensor":
            arguments[argument.name] = Values("int64" if bits else "float32", (2, 3))
        elif str(argument.type) == "number":
            arguments[argument.name] = 2 if bits else 2.0
        else:
            return
    example = Example(target, arguments)
    program = None if target in _BY_HAND else Program.of(example, "")
    if program is not None:
        with contextlib.suppress(Exception):  # whatever eager refuses
            program.module()(*program.tensors())
            yield example


def _infos(name: str) -> list[Any]:
    bases = [name, name.rstrip("_"), name.removesuffix("_copy"), name.lstrip("_")]
    wanted = list(_OTHER_NAMES.get(name, ()))
    for base in dict.fromkeys(bases):
        wanted += [base, f"nn.functional.{base}", f"special.{base}"]
    known = _database()
    infos = [info for one in dict.fromkeys(wanted) for info in known.get(one, ())]
    return list({id(info): info for info in infos}.values())[:4]


@cache
def _database() -> dict[str, list[Any]]:
    with quiet():
        from torch.testing._internal.common_methods_invocations import op_db

    known: dict[str, list[Any]] = {}
    for info in op_db:
        for name in dict.fromkeys((info.name, info.aten_name)):
            known.setdefault(name, []).append(info)
    return known


def _type(info: Any) -> torch.dtype:
    supported = info.supported_dtypes("cpu")
    return next(t for t in (torch.float32, torch.int64, torch.bool) if t in supported)


def _calls(target: str, overload: Any, info: Any, sample: Any) -> Iterator[Example]:
    """The sample as a call of the operator itself; else the calls that torch makes of it."""
    given = (sample.input, *sample.args)
    try:
        overload(*_copied(given), **sample.kwargs)
    except Exception:
        with _Listening(overload) as heard:
            info.op(*given, **sample.kwargs)
        for args, kwargs in heard.calls:
            yield from _example(target, overload, args, kwargs)
    else:
        yield from _example(target, overload, given, sample.kwargs)


def _copied(given: tuple[Any, ...]) -> list[Any]:
    return [value.clone() if isinstance(value, Tensor) else value for value in given]


class _Listening(TorchDispatchMode):
    """Keeps the arguments of every call of one operator."""

    def __init__(self, overload: Any) -> None:
        super().__init__()
        self.overload = overload
        self.calls: list[tuple[Any, dict[str, Any]]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func is self.overload:
            self.calls.append((args, dict(kwargs or {})))
        return func(*args, **(kwargs or {}))


def _example(target: str, overload: Any, args: Any, kwargs: Any) -> Iterator[Example]:
    arguments: dict[str, Any] = {}
    for argument, value in zip(overload._schema.arguments, args, strict=False):
        arguments[argument.name] = value
    arguments |= kwargs
    try:
        written = {name: _written(value) for name, value in arguments.items()}
    except TypeError:
        return
    skipped = ("layout", "pin_memory", "device", "memory_format", "non_blocking", "generator")
    yield Example(target, {k: v for k, v in written.items() if k not in skipped})


def _written(value: Any) -> Any:
    if isinstance(value, Tensor):
        values = Values.like(value) if value.numel() <= _GREATEST else None
        if values is None:
            raise TypeError
        return values
    if isinstance(value, list | tuple | torch.Size):
        return [_written(one) for one in value]
    if isinstance(value, complex | slice):
        raise TypeError
    return value


def _size(example: Example) -> tuple[int, int]:
    """Small ones first, those that tell rows from columns before all."""
    shapes = [v.shape for v in example.arguments.values() if isinstance(v, Values)]
    elements = sum(torch.Size(shape).numel() for shape in shapes)
    plain = all(size > 1 for size in shapes[0]) and len(shapes[0]) > 1 if shapes else True
    return (0 if plain and 4 <= elements <= 512 else 1), elements
