"""A damaged `.pte` is one clear error, or still runs; it never crashes the reader."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.errors import HarnessError, ProgramError
from harness.runtime.portable import PortableExecutor
from harness.runtime.portable.program import read_program


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    return tmp_path / "damaged.pte"


def test_every_truncation_is_refused(exported: Callable[[str], Any], scratch: Path) -> None:
    whole = exported("linear").path.read_bytes()
    executor = PortableExecutor()
    scratch.write_bytes(whole)
    executor.load(scratch)
    executor.close()
    for length in range(len(whole)):
        scratch.write_bytes(whole[:length])
        with pytest.raises(ProgramError):
            executor.load(scratch)


@pytest.mark.parametrize("case", ["attention", "several"])
def test_flipped_bits_are_an_error_or_a_run(
    exported: Callable[[str], Any], scratch: Path, case: str
) -> None:
    program = exported(case)
    whole = program.path.read_bytes()
    method, inputs, _ = program.calls[0]
    generator = random.Random(11)
    outcomes = {"error": 0, "run": 0}
    for _ in range(300):
        damaged = bytearray(whole)
        # The structure fills the file's first part; weights follow.
        position = generator.randrange(min(len(damaged), 8000))
        damaged[position] ^= 1 << generator.randrange(8)
        scratch.write_bytes(damaged)
        executor = PortableExecutor()
        try:
            executor.load(scratch)
            executor.call(method, inputs)
            outcomes["run"] += 1
        except HarnessError:
            outcomes["error"] += 1
        finally:
            executor.close()
    assert outcomes["error"] > 30
    assert outcomes["run"] > 30


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProgramError, match=r"none\.pte cannot be opened: No such file"):
        read_program(tmp_path / "none.pte")


def test_another_kind_of_file_is_named(scratch: Path) -> None:
    scratch.write_bytes(b"RIFF" * 100)
    with pytest.raises(ProgramError, match="expected b'ET12' at byte 4, got b'RIFF'"):
        read_program(scratch)


def test_a_weight_of_another_size_is_refused(exported: Callable[[str], Any], scratch: Path) -> None:
    path = exported("linear").path
    program = read_program(path)
    (name,) = (n for n in program.named_data if n.endswith("linear.weight"))
    size = program.named_data[name].size
    program.close()
    whole = path.read_bytes()
    assert size == 512
    # Its segment's stated size, a u64 in the program flatbuffer.
    stated = whole.index((512).to_bytes(8, "little"))
    scratch.write_bytes(whole[:stated] + (508).to_bytes(8, "little") + whole[stated + 8 :])
    with pytest.raises(ProgramError, match=r"needs 512 bytes of the weight '.*linear.weight'"):
        PortableExecutor().load(scratch)
