"""A module as a function of tensors alone, so that programs and modules are called alike.

A program takes the leaves of its arguments' tree and returns the inputs that it changed, then
the leaves of what the module returns. Leaves that are no tensors (None, numbers) are constants of
the export.
"""

from __future__ import annotations

import enum
import inspect
import numbers
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim
from torch.utils import _pytree as pytree

from harness.anymodel.model import Call
from harness.errors import InputError, brief, in_a_sentence

__all__ = [
    "Flat",
    "arranged",
    "fixed_shapes",
    "flat_shapes",
    "named_shapes",
    "run",
    "tensors_of",
    "tree_of",
]


_PLAIN = (
    Tensor, numbers.Number, torch.SymInt, torch.SymFloat, torch.SymBool, str, bytes,
    torch.dtype, torch.device, torch.Size, enum.Enum,
)  # fmt: skip
"""Leaves that a module may return: tensors, and what holds none."""


class Flat(nn.Module):
    """`model` as a function of the tensors in its arguments, returning those that it makes.

    Parameters
    ----------
    model
        Any callable module.
    call
        The example call, whose tree and constants every call must have.
    """

    def __init__(self, model: nn.Module, call: Call) -> None:
        super().__init__()
        self.model = model
        leaves, self._tree = _leaves(call)
        if any(isinstance(leaf, np.ndarray) for leaf in leaves):
            raise InputError(
                "the example call has a numpy array, which would become a constant of the program; "
                "pass torch.from_numpy(…) of it"
            )
        self._constants = [None if isinstance(leaf, Tensor) else (leaf,) for leaf in leaves]

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Call the model with `tensors` in the places of its arguments' tensors."""
        rest = iter(tensors)
        leaves = [next(rest) if c is None else c[0] for c in self._constants]
        args, kwargs = pytree.tree_unflatten(leaves, self._tree)
        return tuple(leaf for _, leaf in _returned(self.model(*args, **kwargs)))

    def named(self, tensors: Sequence[Tensor]) -> list[tuple[str, Tensor]]:
        """What a call makes, each with its place in the tree: ``logits``, ``1``, ``cache.0``."""
        rest = iter(tensor.clone() for tensor in tensors)
        leaves = [next(rest) if c is None else c[0] for c in self._constants]
        args, kwargs = pytree.tree_unflatten(leaves, self._tree)
        with torch.no_grad():
            made = _returned(self.model(*args, **kwargs))
        return [(".".join(re.findall(r"\w+", pytree.keystr(path))), leaf) for path, leaf in made]

    def inputs(self, call: Call, where: str) -> tuple[Tensor, ...]:
        """The tensors in a call's arguments; `InputError` where its tree is another one."""
        leaves, tree = _leaves(call)
        if tree != self._tree:
            raise InputError(
                f"{where} must have the arguments of the example call: expected {self._tree}, "
                f"got {tree}"
            )
        for leaf, constant in zip(leaves, self._constants, strict=True):
            if constant is None and isinstance(leaf, Tensor):
                continue
            if constant is None or isinstance(leaf, Tensor) or not _same(leaf, constant[0]):
                told = "a tensor" if constant is None else brief(constant[0])
                raise InputError(
                    f"{where} has {brief(leaf)} where the example call has {told}; what is no "
                    "tensor becomes a constant of the program: pass it as a tensor"
                )
        return tensors_of(call)


def _same(one: Any, other: Any) -> bool:
    """Whether two constants are equal; of objects that cannot be compared, only the same."""
    try:
        return one is other or bool(one == other)
    except Exception:
        return False


def _returned(made: Any) -> list[tuple[Any, Tensor]]:
    """The tensors in what a module returns, each with its path in the tree.

    Raises
    ------
    InputError
        A leaf may hold tensors that nobody would compare.
    """
    leaves, _ = pytree.tree_flatten_with_path(made)
    for _, leaf in leaves:
        if not (leaf is None or isinstance(leaf, _PLAIN)):
            kind = type(leaf)
            raise InputError(
                f"the module returns a {kind.__module__}.{kind.__qualname__}, which torch does not "
                "know; return tensors, leave it out (transformers: use_cache=False), or register "
                "it with torch.utils._pytree"
            )
    return [(path, leaf) for path, leaf in leaves if isinstance(leaf, Tensor)]


def tensors_of(call: Call) -> tuple[Tensor, ...]:
    """The tensors in a call's arguments, in the order of the program's inputs."""
    return tuple(leaf for leaf in _leaves(call)[0] if isinstance(leaf, Tensor))


def arranged(call: Call, tree: Any) -> Call:
    """The call with its keywords, and the keys of dicts, in a tree's order.

    Raises
    ------
    ValueError
        Its arguments do not have this tree.
    """
    leaves = tree.flatten_up_to((tuple(call.args), dict(call.kwargs)))
    args, kwargs = pytree.tree_unflatten(leaves, tree)
    return Call(*args, **kwargs)


def tree_of(call: Call) -> Any:
    """The tree of a call's arguments."""
    return _leaves(call)[1]


def _leaves(call: Call) -> tuple[list[Any], Any]:
    return pytree.tree_flatten((tuple(call.args), dict(call.kwargs)))


def fixed_shapes(dynamic_shapes: Any) -> bool:
    """Whether they let no shape change: None, or nothing in them, as `torch.export` takes them."""
    from torch.export import ShapesCollection

    several = isinstance(dynamic_shapes, Mapping | tuple | list | ShapesCollection)
    return dynamic_shapes is None or (several and len(dynamic_shapes) == 0)


def named_shapes(module: nn.Module, call: Call, dynamic_shapes: Any) -> Any:
    """What torch knows by the tensors themselves, such as a `ShapesCollection`, by name.

    None where no shape may change.
    """
    from torch.export import AdditionalInputs, ShapesCollection

    if fixed_shapes(dynamic_shapes):
        return None
    if not isinstance(dynamic_shapes, ShapesCollection | AdditionalInputs):
        return dynamic_shapes
    try:
        return dynamic_shapes.dynamic_shapes(module, tuple(call.args), dict(call.kwargs))
    except Exception as error:
        raise _unfit(error) from error


def flat_shapes(module: nn.Module, call: Call, dynamic_shapes: Any) -> Any:
    """What `named_shapes` gives of a module, as the shapes of its `Flat`: one entry a tensor."""
    from torch.export.dynamic_shapes import _combine_args, _tree_map_with_path

    if dynamic_shapes is None:
        return None
    try:
        named = dict(_combine_args(module, tuple(call.args), dict(call.kwargs)))
    except TypeError as error:  # the example call itself
        raise _unfit(error) from error
    given = dynamic_shapes
    if isinstance(given, tuple | list) and len(given) == len(named):
        given = dict(zip(named, given, strict=True))
    if not isinstance(given, Mapping) or set(given) != set(named):
        several = isinstance(given, Mapping | tuple | list)
        raise InputError(
            f"dynamic_shapes must name the arguments {', '.join(named)}, or have an entry for each "
            f"(got {', '.join(map(str, given)) if several else brief(given)}); None says that an "
            "argument's shape is fixed, and those of *args are a tuple"
        )
    found: list[Any] = []

    def note(_path: Any, leaf: Any, shape: Any) -> None:
        if isinstance(leaf, Tensor):
            found.append(shape)
        elif isinstance(shape, Dim) or shape in (Dim.AUTO, Dim.DYNAMIC):
            raise InputError(
                f"dynamic_shapes lets {brief(leaf)} change, and what is no tensor becomes a "
                "constant of the program: pass it as a tensor"
            )

    parameters = inspect.signature(module.forward).parameters
    rest = [n for n in named if parameters[n].kind is inspect.Parameter.VAR_KEYWORD]
    try:
        for name in rest:
            _tree_map_with_path(lambda *_: None, named[name], given[name], tree_name=name)
            named, given = {**named.pop(name), **named}, {**given, **given[name]}
        # Positional arguments come first in a program, then keywords in the order given.
        order = [name for name in named if name not in call.kwargs]
        for name in (*order, *call.kwargs):
            _tree_map_with_path(note, {name: named[name]}, {name: given[name]}, tree_name="args")
    except InputError:
        raise
    except Exception as error:
        raise _unfit(error) from error
    return (tuple(found),)


def _unfit(error: Exception) -> InputError:
    return InputError(f"dynamic_shapes do not fit the example call: {in_a_sentence(error)}")


def run(function: Any, tensors: Sequence[Tensor]) -> tuple[tuple[Tensor, ...], list[int]]:
    """What a function makes, and the numbers of the inputs that it changed in place."""
    before = [tensor._version for tensor in tensors]
    with torch.no_grad():
        made = tuple(function(*tensors))
    changed = [i for i, tensor in enumerate(tensors) if tensor._version != before[i]]
    return made, changed
