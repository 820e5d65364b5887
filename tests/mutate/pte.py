"""Change a `.pte`: nodes of a method's graph, bytes of a weight, a metadata value.

A file is decoded into the records of its schemas, changed, and encoded again whole, with the names
file beside it, so that every reader of the harness meets an ordinary export.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from harness.pte.flatbuffer import Reader, record
from harness.pte.names import names_file
from harness.pte.schema import mlx_schema, program_schema
from tests.mutate.flat import write

__all__ = ["Graph", "Pte", "opened"]

_EXTENDED = struct.Struct("<4sIQQQ")
_PAYLOAD = struct.Struct("<I4sQQ")
_ALIGNMENT = 128


@cache
def opened(path: Path) -> Pte:
    """A file, decoded once a process."""
    content = path.read_bytes()
    _, _, size, first, _ = _EXTENDED.unpack_from(content, 8)
    program = Reader(program_schema(), content[:size], path.name).root()
    segments = tuple(
        content[first + s.offset : first + s.offset + s.size] for s in program.segments
    )
    return Pte(program, segments, json.loads(names_file(path).read_text()))


@dataclass(frozen=True)
class Graph:
    """The MLX delegate of one method.

    Attributes
    ----------
    raw
        Record of the payload's root table.
    origins
        For each node of the main chain, the exported node and the module that it was lowered from.
    """

    raw: Any
    origins: Mapping[int, tuple[str, str]]

    @property
    def nodes(self) -> tuple[Any, ...]:
        """The main chain."""
        chain = self.raw.instruction_chains[self.raw.main_chain_idx]
        return tuple(instruction.op for instruction in chain.instructions)

    def with_node(self, index: int, node: Any) -> Graph:
        """The graph with another node in the main chain's place `index`."""
        main = self.raw.main_chain_idx
        chains = list(self.raw.instruction_chains)
        instructions = list(chains[main].instructions)
        instructions[index] = dataclasses.replace(instructions[index], op=node)
        chains[main] = dataclasses.replace(chains[main], instructions=tuple(instructions))
        return self.replaced(instruction_chains=tuple(chains))

    def replaced(self, **fields: Any) -> Graph:
        """The graph with other fields in its root."""
        return dataclasses.replace(self, raw=dataclasses.replace(self.raw, **fields))

    def constant(self, index: int) -> str | None:
        """Key of the weight in a tensor slot; None where it holds no constant."""
        if index >= self.raw.num_constant_tensors:
            return None
        slots = self.raw.named_slots
        return next(n.name for n in slots if n.slot.slot_type == 0 and n.slot.idx == index)


@dataclass(frozen=True)
class Pte:
    """A decoded file: its program, its segments, and the names beside it."""

    program: Any
    segments: tuple[bytes, ...]
    names: Mapping[str, Any]

    @cached_property
    def graphs(self) -> dict[str, Graph]:
        """The delegate of each method that has one, by the method's entry."""
        found = {}
        for plan in self.program.execution_plan:
            if plan.delegates:
                payload = self.segments[plan.delegates[0].processed.index]
                _, _, end, _ = _PAYLOAD.unpack_from(payload)
                flat = payload[_PAYLOAD.size : end]
                raw = Reader(mlx_schema(), flat, plan.name).root()
                told = self.names["methods"][plan.name]["delegates"][0]["instructions"]
                origins = {
                    index: (node or edge, module or "")
                    for chain, index, edge, node, module in told
                    if chain == raw.main_chain_idx
                }
                found[plan.name] = Graph(raw, origins)
        return found

    def with_graph(self, entry: str, graph: Graph) -> Pte:
        """The file with another delegate in a method."""
        where = self._plan(entry).delegates[0].processed.index
        flat = write(mlx_schema(), graph.raw)
        old = self.segments[where]
        magic, kind, end, size = _PAYLOAD.unpack_from(old)
        flat += bytes(-len(flat) % 16)
        head = _PAYLOAD.pack(magic, kind, _PAYLOAD.size + len(flat), size)
        return self._with_segment(where, head + flat + old[end:])

    def weight(self, key: str) -> bytes:
        """Contents of a weight."""
        return self.segments[self._named(key)]

    def with_weight(self, key: str, content: bytes) -> Pte:
        """The file with other contents in a weight, of the same length."""
        where = self._named(key)
        assert len(content) == len(self.segments[where])
        return self._with_segment(where, content)

    def with_metadata(self, name: str, value: int) -> Pte:
        """The file with another number in a constant method."""
        plan = self._plan(name)
        values = list(plan.values)
        number = record("Int", ("int_val",))(value)
        values[plan.outputs[0]] = dataclasses.replace(values[plan.outputs[0]], val=number)
        return self._with_plan(dataclasses.replace(plan, values=tuple(values)))

    def save(self, path: Path) -> Path:
        """Write the file, and the names beside it."""
        places, data = [], bytearray()
        for segment in self.segments:
            data += bytes(-len(data) % _ALIGNMENT)
            places.append((len(data), len(segment)))
            data += segment
        table = [
            dataclasses.replace(old, offset=offset, size=size)
            for old, (offset, size) in zip(self.program.segments, places, strict=True)
        ]
        flat = write(program_schema(), dataclasses.replace(self.program, segments=tuple(table)))
        (root,) = struct.unpack_from("<I", flat)
        size = len(flat) + _EXTENDED.size
        first = size + -size % _ALIGNMENT
        extended = _EXTENDED.pack(b"eh00", _EXTENDED.size, size, first, len(data))
        head = struct.pack("<I", root + _EXTENDED.size) + flat[4:8] + extended + flat[8:]
        content = head.ljust(first, b"\0") + data
        path.write_bytes(content)
        names = {**self.names, "sha256": hashlib.sha256(content).hexdigest()}
        names["methods"] = {
            entry: {**told, "delegates": self._digested(entry, told["delegates"])}
            for entry, told in names["methods"].items()
        }
        names_file(path).write_text(json.dumps(names))
        return path

    def _digested(self, entry: str, delegates: list[Any]) -> list[Any]:
        segments = [self.segments[d.processed.index] for d in self._plan(entry).delegates]
        return [
            {**told, "payload": hashlib.sha256(segment).hexdigest()}
            for told, segment in zip(delegates, segments, strict=True)
        ]

    def _plan(self, name: str) -> Any:
        return next(plan for plan in self.program.execution_plan if plan.name == name)

    def _named(self, key: str) -> int:
        return next(n.segment_index for n in self.program.named_data if n.key == key)

    def _with_segment(self, index: int, content: bytes) -> Pte:
        segments = (*self.segments[:index], content, *self.segments[index + 1 :])
        return dataclasses.replace(self, segments=segments)

    def _with_plan(self, plan: Any) -> Pte:
        plans = tuple(plan if p.name == plan.name else p for p in self.program.execution_plan)
        return dataclasses.replace(
            self, program=dataclasses.replace(self.program, execution_plan=plans)
        )


Change = Callable[[Pte], Pte]
