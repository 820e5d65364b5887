"""What a `.pte` declares and the runtime's Python interface does not tell.

`MethodMeta` gives the dtype and sizes of a method's inputs, but neither which of them are upper
bounds, nor the backends the method was lowered to, nor how its memory is divided. They are read
here from the program flatbuffer at the head of the file, by the field numbers of
executorch/exir/_serialize/program.fbs (a flatbuffer's field numbers never change). Only for a
file that the runtime has verified: no offset is checked.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import flatbuffers
from flatbuffers import number_types
from flatbuffers.table import Table

from harness.errors import ProgramError

__all__ = ["InputLayout", "MethodLayout", "read_layout"]

# Field numbers, by table.
_PROGRAM_PLANS = 1
_PLAN_NAME, _PLAN_VALUES, _PLAN_INPUTS = 0, 2, 3
_PLAN_OPERATORS, _PLAN_DELEGATES, _PLAN_MEMORY_SIZES = 6, 7, 8
_VALUE_TYPE, _VALUE = 0, 1
_DELEGATE_ID = 0
_OPERATOR_NAME = 0
_TENSOR_DYNAMISM = 8

# Numbers of the union KernelTypes.
_TENSOR = 5
_SCALARS = {2: "int64", 3: "bool", 4: "float64"}
_STATIC = 0
# non_const_buffer_sizes[0] is reserved and [1] holds the activations.
_ORDINARY_MEMORIES = 2


@dataclass(frozen=True)
class InputLayout:
    """One input of a method.

    Attributes
    ----------
    scalar
        numpy name of a plain number's type; None for a tensor.
    dynamic
        Whether the tensor's sizes are upper bounds.
    """

    scalar: str | None
    dynamic: bool


@dataclass(frozen=True)
class MethodLayout:
    """One method's declarations.

    Attributes
    ----------
    inputs
        In call order.
    backends
        Ids of the backends that take parts of the method, each once.
    namespaces
        Namespaces of the operators that run outside them, e.g. ``aten``, ``llama``, each once.
    extra_memory
        Whether the plan has memory beyond its activations, which is where an export with
        `share_mutable_buffers=True` keeps the buffers that its methods have in common.
    """

    inputs: tuple[InputLayout, ...]
    backends: tuple[str, ...]
    namespaces: tuple[str, ...]
    extra_memory: bool


def read_layout(path: Path) -> dict[str, MethodLayout]:
    """Declarations of every method of a `.pte` that the runtime has opened.

    Raises
    ------
    ProgramError
        A method takes something that is neither a tensor nor a number.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        root = flatbuffers.encode.Get(flatbuffers.packer.uoffset, data, 0)
        program = Table(data, root)
        return {_text(plan, _PLAN_NAME): _method(plan) for plan in _tables(program, _PROGRAM_PLANS)}


def _method(plan: Table) -> MethodLayout:
    values = list(_tables(plan, _PLAN_VALUES))
    backends = (_text(delegate, _DELEGATE_ID) for delegate in _tables(plan, _PLAN_DELEGATES))
    operators = (_text(operator, _OPERATOR_NAME) for operator in _tables(plan, _PLAN_OPERATORS))
    return MethodLayout(
        inputs=tuple(
            _input(_text(plan, _PLAN_NAME), number, values[index])
            for number, index in enumerate(_integers(plan, _PLAN_INPUTS))
        ),
        backends=tuple(dict.fromkeys(backends)),
        namespaces=tuple(dict.fromkeys(name.partition("::")[0] for name in operators)),
        extra_memory=_length(plan, _PLAN_MEMORY_SIZES) > _ORDINARY_MEMORIES,
    )


def _input(method: str, number: int, value: Table) -> InputLayout:
    kind = _scalar(value, _VALUE_TYPE, number_types.Uint8Flags)
    if kind in _SCALARS:
        return InputLayout(scalar=_SCALARS[kind], dynamic=False)
    if kind != _TENSOR:
        raise ProgramError(
            f"input {number} of {method} must be a tensor or a number (got value type {kind} of "
            "program.fbs); export the method without it"
        )
    tensor = Table(value.Bytes, value.Indirect(value.Pos + _at(value, _VALUE)))
    dynamism = _scalar(tensor, _TENSOR_DYNAMISM, number_types.Int8Flags)
    return InputLayout(scalar=None, dynamic=dynamism != _STATIC)


def _at(table: Table, field: int) -> int:
    """Offset of a field from the table's start; 0 if absent."""
    return int(table.Offset(4 + 2 * field))


def _scalar(table: Table, field: int, kind: type) -> int:
    at = _at(table, field)
    return int(table.Get(kind, table.Pos + at)) if at else 0


def _text(table: Table, field: int) -> str:
    return str(table.String(table.Pos + _at(table, field)), "utf-8")


def _length(table: Table, field: int) -> int:
    at = _at(table, field)
    return int(table.VectorLen(at)) if at else 0


def _integers(table: Table, field: int) -> Iterator[int]:
    for index in range(_length(table, field)):
        start = table.Vector(_at(table, field))
        yield int(table.Get(number_types.Int32Flags, start + 4 * index))


def _tables(table: Table, field: int) -> Iterator[Table]:
    for index in range(_length(table, field)):
        start = table.Vector(_at(table, field))
        yield Table(table.Bytes, table.Indirect(start + 4 * index))
