"""Read a `.pte` in place: its methods, and where their payloads and weights lie.

Layout (executorch/exir/_serialize/_program.py), all little-endian::

    0   u32  offset of the program flatbuffer's root table
    4   4 B  "ET12"
    8   4 B  "eh00", the extended header; absent in files without segments
    12  u32  length of that header
    16  u64  size of the program flatbuffer, this header included
    24  u64  offset of the first segment
    32  u64  size of all segments
    …        program flatbuffer, padding, segments

The file is mapped, never copied, and its weights are not touched.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, TypeVar

from harness.errors import ProgramError
from harness.runtime.portable.dtypes import SCALAR_TYPES
from harness.runtime.portable.flatbuffer import Reader
from harness.runtime.portable.plan import (
    Delegate,
    DelegateCall,
    FreeCall,
    Instruction,
    JumpFalseCall,
    KernelCall,
    MoveCall,
    Plan,
    Span,
    TensorList,
    TensorValue,
    Value,
)
from harness.runtime.portable.schema import program_schema

__all__ = ["Program", "read_program"]

_HEADER = struct.Struct("<4sIQQQ")
# Headers written before the last field was added are this long.
_OLD_HEADER_LENGTH = 24
# TensorShapeDynamism.STATIC, DataLocation.INLINE, TensorDataLocation.EXTERNAL
_STATIC, _INLINE, _EXTERNAL = 0, 0, 1

# A system call for each of many small tensors would cost more than their pages.
_WORTH_ADVISING = 1 << 20

_T = TypeVar("_T")


@dataclass(frozen=True)
class Program:
    """A mapped `.pte`.

    Attributes
    ----------
    plans
        Method name → plan, in file order.
    named_data
        Key → where its bytes lie; delegates find their weights here.
    """

    path: Path
    plans: Mapping[str, Plan]
    named_data: Mapping[str, Span]
    mapping: mmap.mmap

    def data(self, where: Span | bytes) -> memoryview:
        """View of a part of the file; let go of it before `close`."""
        if isinstance(where, bytes):
            return memoryview(where)
        return memoryview(self.mapping)[where.offset : where.offset + where.size]

    def let_go(self, where: Span) -> None:
        """Say that a part of the file was read, so that its pages need not stay in memory."""
        first = where.offset - where.offset % mmap.PAGESIZE
        if hasattr(self.mapping, "madvise") and where.size >= _WORTH_ADVISING:
            advice = mmap.MADV_DONTNEED
            self.mapping.madvise(advice, first, where.offset + where.size - first)

    def close(self) -> None:
        """Unmap the file."""
        self.mapping.close()


def read_program(path: Path) -> Program:
    """Map a `.pte` and read its structure.

    Raises
    ------
    ProgramError
        The file is missing, truncated, damaged or not a program.
    """
    try:
        with path.open("rb") as file:
            mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise ProgramError(f"{path} cannot be opened: {error.strerror}") from error
    except ValueError as error:
        raise ProgramError(f"{path} is empty, expected a .pte; export it again") from error
    try:
        with memoryview(mapping) as content:
            plans, named_data = _Parser(path, content).parse()
    except BaseException:
        mapping.close()
        raise
    return Program(path, plans, named_data, mapping)


class _Parser:
    """Turns the program flatbuffer's records into plans, checking every index and extent."""

    def __init__(self, path: Path, content: memoryview) -> None:
        self.path = path
        self.content = content

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
        return plans, named

    def extent(self) -> tuple[int, int, int]:
        """Size of the program flatbuffer; first and last byte of the segments."""
        actual = len(self.content)
        if actual < 8 + _HEADER.size:
            raise ProgramError(f"{self.path} is truncated at {actual} bytes; copy it again")
        magic, length, program_size, first, data_size = _HEADER.unpack_from(self.content, 8)
        if magic != b"eh00" or length < _OLD_HEADER_LENGTH:
            return actual, actual, actual
        end = first + data_size if length >= _HEADER.size else actual
        if max(program_size, first, end) > actual:
            raise ProgramError(
                f"{self.path} is truncated: {actual} bytes, expected "
                f"{max(program_size, first, end)}; copy it again"
            )
        return program_size, first, end

    def plan(self, raw: Any) -> Plan:
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
            name = f"{operator.name}.{operator.overload}" if operator.overload else operator.name
            return KernelCall(str(name), indices(call.args))

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
            if isinstance(value, TensorList):
                indices([item for item in value.items if item != -1])
        return Plan(
            name=raw.name,
            values=values,
            inputs=indices(raw.inputs),
            outputs=indices(raw.outputs),
            instructions=tuple(instruction(item.instr_args) for item in instructions),
            delegates=tuple(self.delegate(item) for item in raw.delegates),
        )

    def value(self, raw: Any) -> Value:
        kind = type(raw).__name__
        if kind == "Tensor":
            return self.tensor(raw)
        if kind in ("TensorList", "OptionalTensorList"):
            return TensorList(raw.items)
        if kind in ("IntList", "DoubleList", "BoolList"):
            return tuple(raw.items)
        scalars = {"Int": "int_val", "Double": "double_val", "Bool": "bool_val"}
        if kind == "String":
            return raw.string_val or ""
        return getattr(raw, scalars[kind]) if kind in scalars else None

    def tensor(self, raw: Any) -> TensorValue:
        scalar = SCALAR_TYPES.get(raw.scalar_type)
        if scalar is None:
            raise ProgramError(
                f"{self.path} has a tensor of ScalarType {raw.scalar_type}, which is not "
                "supported here; export it with another dtype"
            )
        if any(size < 0 for size in raw.sizes):
            raise self.damaged(f"a tensor has sizes {list(raw.sizes)}")
        sizes = tuple(raw.sizes)
        return TensorValue(
            scalar_type=raw.scalar_type,
            sizes=sizes,
            dim_order=tuple(raw.dim_order),
            dynamic=raw.shape_dynamism != _STATIC,
            data=self.tensor_data(raw, prod(sizes) * scalar.numpy.itemsize),
        )

    def tensor_data(self, raw: Any, size: int) -> Span | bytes | None:
        """Where a tensor's initial contents lie; the rules stand beside `Tensor` in program.fbs."""
        extra = raw.extra_tensor_info
        if extra is not None and extra.location == _EXTERNAL:
            raise ProgramError(
                f"{self.path} keeps the tensor {extra.fully_qualified_name!r} in another file, "
                "which is not supported here; export it without external constants"
            )
        index = raw.data_buffer_idx
        if index == 0:
            return None
        if raw.allocation_info is None and self.raw.constant_buffer:
            storage = self.pick("constant", self.raw.constant_buffer, index).storage
            return bytes(storage[:size]) if len(storage) >= size else self.short("constant", size)
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
            inline = self.pick(
                "inline payload", self.raw.backend_delegate_data, raw.processed.index
            )
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

    def short(self, what: str, size: int) -> Any:
        raise self.damaged(f"a {what} is shorter than the {size} bytes of its shape")

    def damaged(self, reason: str) -> ProgramError:
        return ProgramError(f"{self.path} is damaged: {reason}; export or copy it again")
