"""The schema reader, and the flatbuffer reader's limits."""

from __future__ import annotations

import struct

import pytest

from harness.errors import ProgramError
from harness.pte.flatbuffer import Reader
from harness.pte.schema import mlx_schema, parse, program_schema

SCHEMA = parse(
    """
    file_identifier "TEST";
    enum Color : byte { RED = 3, GREEN, }   // GREEN is 4
    struct Id { idx: uint32; }
    table Leaf { number: int = -2; maybe: int = null; color: Color = GREEN; }
    union Any { Leaf, Tree }
    table Tree { left: Tree; any: Any; names: [string] (required); id: Id; flag: bool = true; }
    root_type Tree;
    """
)


def test_slots_count_a_unions_hidden_type() -> None:
    slots = {field.name: field.slot for field in SCHEMA.tables["Tree"]}
    assert slots == {"left": 0, "any": 2, "names": 3, "id": 4, "flag": 5}


def test_defaults_tell_null_from_zero() -> None:
    assert [field.default for field in SCHEMA.tables["Leaf"]] == [-2, None, 4]
    assert [field.required for field in SCHEMA.tables["Tree"]] == [False, False, True, False, False]


def test_the_wheels_schemas_are_read() -> None:
    assert program_schema().identifier == b"ET12"
    assert program_schema().root == "Program"
    assert mlx_schema().root == "MLXGraph"
    assert "LONG" in program_schema().enums["ScalarType"]


def tree(vector: bytes) -> bytes:
    """A Tree whose only field is `names`: root offset, vtable of 12 bytes, table, vector."""
    vtable = struct.pack("<HHHHHH", 12, 8, 0, 0, 0, 4)
    return struct.pack("<I", 16) + vtable + struct.pack("<iI", 12, 4) + vector


def read(buffer: bytes) -> object:
    return Reader(SCHEMA, buffer, "the file").root()


def test_a_table_is_read_with_defaults() -> None:
    vector = struct.pack("<III", 1, 4, 2) + b"hi\0\0"
    made = read(tree(vector))
    assert vars(made) == {"left": None, "any": None, "names": ("hi",), "id": None, "flag": True}


def test_a_large_file_unfolds_into_so_much_and_no_more() -> None:
    """A sparse file costs its author nothing; each of these would be an object here."""
    count = 6_000_000
    with pytest.raises(ProgramError, match="more parts than any export"):
        read(tree(struct.pack("<I", count)) + bytes(4 * count))


@pytest.mark.parametrize(
    ("buffer", "message"),
    [
        (b"", "byte 0 of a part of 0 bytes"),
        (struct.pack("<I", 2**31), "refers to byte 2147483648"),
        (tree(struct.pack("<I", 2**30)), "runs past its end"),
        (tree(struct.pack("<II", 1, 2**20)), "refers to byte"),
        (tree(struct.pack("<III", 1, 4, 2) + b"\xff\xfe\0\0"), "not text"),
        (tree(struct.pack("<III", 1, 4, 2) + b"hi!\0"), "the text at byte 32 has no end"),
        (tree(struct.pack("<III", 1, 4, 2) + b"hi"), "byte 38 of a part of 38"),
        (tree(b"")[:-4] + struct.pack("<I", 0), "the offset of a Tree's names is zero"),
        (tree(struct.pack("<II", 1, 6) + b"\0" * 8), "a number of 4 bytes lies at byte 34"),
        (struct.pack("<IHHi", 8, 5, 4, 4), "the index of a Tree in it has 5 bytes"),
        (struct.pack("<IHHi", 8, 400, 4, 4), "the index of a Tree in it has 400 bytes"),
        (struct.pack("<IHHi", 8, 4, 4, 4), "a Tree in it has no names"),
    ],
)
def test_damage_is_named(buffer: bytes, message: str) -> None:
    with pytest.raises(ProgramError, match=f"the file is damaged: .*{message}"):
        read(buffer)


def test_nesting_is_bounded() -> None:
    schema = parse("table Node { next: Node; } root_type Node;")
    vtable = struct.pack("<HHHH", 6, 8, 4, 0)

    def chain(length: int) -> bytes:
        nodes = (struct.pack("<iI", 8 + 8 * i, 4) for i in range(length))
        end = struct.pack("<i", 8 + 8 * length + 12) + b"\0" * 12
        return struct.pack("<I", 12) + vtable + b"".join(nodes) + end

    with pytest.raises(ProgramError, match="nest deeper than 16, at Node"):
        Reader(schema, chain(40), "the file").root()


def test_a_small_file_does_not_unfold_into_a_large_one() -> None:
    schema = parse("table Node { children: [Node]; } root_type Node;")
    # Every node's vector points at the next node from each of 1000 entries: 1000**depth tables.
    vtable = struct.pack("<HHH", 6, 8, 4) + b"\0\0"
    body = b""
    levels = 10
    size = 8 + 8 + 4 + 4 * 1000
    for level in range(levels):
        node = vtable + struct.pack("<iI", 8, 4)
        entries = 1000 if level < levels - 1 else 0
        first = level * size + 16 + 4
        target = (level + 1) * size + 8
        offsets = b"".join(struct.pack("<I", target - (first + 4 * i)) for i in range(entries))
        body += node + struct.pack("<I", entries) + offsets.ljust(4000, b"\0")
    with pytest.raises(ProgramError, match="refers to them more often"):
        Reader(schema, struct.pack("<I", 4 + 8) + body, "the file").root()
