"""Turn the bytes of a `.pte` into plans.

Layout (executorch/exir/_serialize/_program.py), all little-endian::

    0   u32  offset of the program flatbuffer's root table
    4   4 B  "ET12"
    8   4 B  "eh00", the extended header; absent in files without segments
    12  u32  length of that header
    16  u64  size of the program flatbuffer, this header included
    24  u64  offset of the first segment
    32  u64  size of all segments
    …        program flatbuffer, padding, segments
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from functools import partial
from math import prod
from pathlib import Path
from typing import Any, TypeVar

from harness.errors import ProgramError, UnsupportedError
from harness.pte.dtypes import SCALAR_TYPES
from harness.pte.flat_tensor import DataFile
from harness.pte.flatbuffer import Reader, damaged, truncated
from harness.pte.plan import (
    Delegate,
    DelegateCall,
    FreeCall,
    Instruction,
    IntList,
    JumpFalseCall,
    KernelCall,
    MoveCall,
    Place,
    Plan,
    Span,
    TensorList,
    TensorValue,
    Value,
)
from harness.pte.schema import program_schema

__all__ = ["parse_program"]

_HEADER = struct.Struct("<4sIQQQ")
# Headers written before the last field was added are this long.
_OLD_HEADER_LENGTH = 24
# TensorShapeDynamism.STATIC, DataLocation.INLINE, TensorDataLocation.EXTERNAL
_STATIC, _INLINE, _EXTERNAL = 0, 0, 1

_T = TypeVar("_T")


def parse_program(
    path: Path, content: memoryview, others: Sequence[DataFile]
) -> tuple[dict[str, Plan], dict[str, Span]]:
    """The methods in `content`, a whole `.pte`, and where named weights lie; or `ProgramError`."""
    return _Parser(path, content, others).parse()


_COMPLEX = {8: "complex32", 9: "complex64", 10: "complex128"}


class _Parser:
    """Turns the program flatbuffer's records into plans, checking every index and extent."""

    def __init__(self, path: Path, content: memoryview, others: Sequence[DataFile]) -> None:
        self.path = path
        self.content = content
        self.others = others
        self.damaged = partial(damaged, path)

    def parse(self) -> tuple[dict[str, Plan], dict[str, Span]]:
        schema = program_schema()
        if bytes(self.content[4:8]) != schema.identifier:
            raise ProgramError(
                f"{self.path} is not a .pte of this ExecuTorch: expected {schema.identifier!r} "
                f"at byte 4, got {bytes(self.content[4:8])!r}; export it again"
            )
        program_size, first, end = self.extent()
        with self.content[:program_size] as flat:
            self.raw = raw = Reader(schema, flat, str(self.path)).root()
        self.segments = [
            self.inside(f"segment {i}", Span(first, end - first), segment.offset, segment.size)
            for i, segment in enumerate(raw.segments)
        ]
        plans = {plan.name: self.plan(plan) for plan in raw.execution_plan}
        if len(plans) != len(raw.execution_plan) or None in plans:
            raise self.damaged("two of its methods have one name, or one has none")
        named = {
            n.key: self.pick("segment", self.segments, n.segment_index) for n in raw.named_data
        }
        if None in named:
            raise self.damaged("a weight in it has no name")
        for other in self.others:
            for key, entry in other.entries.items():
                if named.setdefault(key, entry.span) != entry.span:
                    raise ProgramError(
                        f"{key!r} is in {other.path} and again in another file of {self.path}; "
                        "give only the data files that were exported with it"
                    )
        return plans, named

    def extent(self) -> tuple[int, int, int]:
        """Size of the program flatbuffer; first and last byte of the segments."""
        actual = len(self.content)
        if actual < 8 + _HEADER.size:
            raise truncated(self.path, actual, 8 + _HEADER.size)
        magic, length, program_size, first, data_size = _HEADER.unpack_from(self.content, 8)
        if magic != b"eh00" or length < _OLD_HEADER_LENGTH:
            return actual, actual, actual
        end = first + data_size if length >= _HEADER.size else actual
        if (expected := max(program_size, first, end)) > actual:
            raise truncated(self.path, actual, expected)
        return program_size, first, end

    def plan(self, raw: Any) -> Plan:
        self.arenas = tuple(raw.non_const_buffer_sizes)
        if any(size < 0 for size in self.arenas):
            raise self.damaged(f"method {raw.name!r} plans memory of {min(self.arenas)} bytes")
        values = tuple(self.value(item.val) for item in raw.values)
        if len(raw.chains) != 1:
            raise self.damaged(f"method {raw.name!r} has {len(raw.chains)} chains, expected 1")
        instructions = raw.chains[0].instructions

        def index(number: int) -> int:
            self.pick("value", values, number)
            return number

        def indices(numbers: Sequence[int]) -> tuple[int, ...]:
            return tuple(index(number) for number in numbers)

        def kernel(call: Any) -> Instruction:
            operator = self.pick("operator", raw.operators, call.op_index)
            if operator.name is None:
                raise self.damaged(f"method {raw.name!r} calls an operator without a name")
            name = ".".join(filter(None, (operator.name, operator.overload)))
            return KernelCall(name, indices(call.args))

        def delegate(call: Any) -> Instruction:
            self.pick("delegate", raw.delegates, call.delegate_index)
            return DelegateCall(call.delegate_index, indices(call.args))

        def jump(call: Any) -> Instruction:
            if not 0 <= call.destination_instruction <= len(instructions):
                raise self.damaged(f"it jumps to instruction {call.destination_instruction}")
            return JumpFalseCall(index(call.cond_value_index), call.destination_instruction)

        build: dict[str, Callable[[Any], Instruction]] = {
            "KernelCall": kernel,
            "DelegateCall": delegate,
            "MoveCall": lambda call: MoveCall(index(call.move_from), index(call.move_to)),
            "JumpFalseCall": jump,
            "FreeCall": lambda call: FreeCall(index(call.value_index)),
        }

        def instruction(call: Any) -> Instruction:
            if call is None:
                raise self.damaged(f"method {raw.name!r} has an empty instruction")
            return build[type(call).__name__](call)

        for value in values:
            for item in value.items if isinstance(value, TensorList | IntList) else ():
                if isinstance(value, TensorList) and item == -1:
                    continue
                if isinstance(values[index(item)], TensorList | IntList):
                    raise self.damaged(f"method {raw.name!r} has a list of lists")
        return Plan(
            name=raw.name,
            values=values,
            inputs=indices(raw.inputs),
            outputs=indices(raw.outputs),
            instructions=tuple(instruction(item.instr_args) for item in instructions),
            delegates=tuple(self.delegate(item) for item in raw.delegates),
            arenas=self.arenas,
        )

    def value(self, raw: Any) -> Value:
        kind = type(raw).__name__
        if kind == "Tensor":
            return self.tensor(raw)
        if kind in ("TensorList", "OptionalTensorList"):
            return TensorList(raw.items)
        if kind == "IntList":
            return IntList(raw.items)
        if kind in ("DoubleList", "BoolList"):
            return tuple(raw.items)
        scalars = {"Int": "int_val", "Double": "double_val", "Bool": "bool_val"}
        if kind == "String":
            return raw.string_val or ""
        return getattr(raw, scalars[kind]) if kind in scalars else None

    def tensor(self, raw: Any) -> TensorValue:
        scalar = SCALAR_TYPES.get(raw.scalar_type)
        if scalar is None:
            if raw.scalar_type in _COMPLEX:
                raise UnsupportedError(
                    f"{self.path} has a tensor of {_COMPLEX[raw.scalar_type]}, and complex numbers "
                    "are not supported here; export real and imaginary parts apart"
                )
            raise ProgramError(
                f"{self.path} has a tensor of ScalarType {raw.scalar_type}, which is not "
                "supported here; export it with another dtype"
            )
        if any(size < 0 for size in raw.sizes):
            raise self.damaged(f"a tensor has sizes {list(raw.sizes)}")
        sizes, order = tuple(raw.sizes), tuple(raw.dim_order)
        if sorted(order) != list(range(len(sizes))):
            raise self.damaged(f"a tensor of {len(sizes)} dimensions has the layout {list(order)}")
        size = prod(sizes) * scalar.numpy.itemsize
        extra = raw.extra_tensor_info
        external = None
        if extra is not None and extra.location == _EXTERNAL:
            external = extra.fully_qualified_name
            if not external:
                raise self.damaged("a tensor that another file holds has no name")
        return TensorValue(
            scalar_type=raw.scalar_type,
            sizes=sizes,
            dim_order=order,
            dynamic=raw.shape_dynamism != _STATIC,
            data=self.external_data(external, raw.scalar_type, sizes)
            if external
            else self.tensor_data(raw, extra, size),
            place=self.place(raw.allocation_info, size),
            external=external,
        )

    def place(self, raw: Any, size: int) -> Place | None:
        """Where a tensor is planned, known to fit there."""
        if raw is None:
            return None
        offset = raw.memory_offset_low + (raw.memory_offset_high << 32)
        room = self.pick("memory", self.arenas, raw.memory_id)
        if offset + size > room:
            raise self.damaged(f"a tensor is planned to end at byte {offset + size} of {room}")
        return Place(raw.memory_id, offset)

    def external_data(self, name: str, scalar_type: int, sizes: tuple[int, ...]) -> Span | None:
        """Where a data file has a tensor; None if none of them has it."""
        for other in (other for other in self.others if name in other.entries):
            entry = other.entries[name]
            if (entry.scalar_type, entry.sizes) != (scalar_type, sizes):
                raise ProgramError(
                    f"{other.path} has {name!r} as {entry.sizes} of ScalarType "
                    f"{entry.scalar_type}, {self.path} expects {sizes} of ScalarType "
                    f"{scalar_type}; give the data file that was exported with it"
                )
            return entry.span
        return None

    def tensor_data(self, raw: Any, extra: Any, size: int) -> Span | bytes | None:
        """Where a tensor's initial contents lie; the rules stand beside `Tensor` in program.fbs."""
        index = raw.data_buffer_idx
        if index == 0:
            return None
        if raw.allocation_info is None and self.raw.constant_buffer:
            storage = self.pick("constant", self.raw.constant_buffer, index).storage
            if len(storage) < size:
                raise self.damaged(f"a constant is shorter than the {size} bytes of its shape")
            return bytes(storage[:size])
        if raw.allocation_info is None:
            table = self.raw.constant_segment
        else:
            which = 0 if extra is None else extra.mutable_data_segments_idx
            table = self.pick("mutable segment", self.raw.mutable_data_segments, which)
        if table is None:
            raise self.damaged(f"it refers to constant {index} of none")
        segment = self.pick("segment", self.segments, table.segment_index)
        offset = self.pick("constant", table.offsets, index)
        return self.inside(f"constant {index}", segment, offset, size)

    def delegate(self, raw: Any) -> Delegate:
        if raw.processed is None or raw.id is None:
            raise self.damaged("a delegate has no payload or no backend")
        if raw.processed.location == _INLINE:
            payloads = self.raw.backend_delegate_data
            inline = self.pick("inline payload", payloads, raw.processed.index)
            return Delegate(raw.id, bytes(inline.data))
        return Delegate(raw.id, self.pick("segment", self.segments, raw.processed.index))

    def pick(self, what: str, items: Sequence[_T], index: int) -> _T:
        if not 0 <= index < len(items):
            raise self.damaged(f"it refers to {what} {index} of {len(items)}")
        return items[index]

    def inside(self, what: str, outer: Span, offset: int, size: int) -> Span:
        if offset + size > outer.size:
            raise self.damaged(f"{what} ends at byte {offset + size} of {outer.size}")
        return Span(outer.offset + offset, size)
