"""A damaged `.pte` is one clear error, or still runs; it never crashes the reader."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.errors import ExecutionError, HarnessError, MachineError, ProgramError
from harness.pte import parser
from harness.pte.program import read_program
from harness.runtime.portable import PortableExecutor


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


@pytest.mark.parametrize("case", ["attention", "several", "folded"])
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
    with pytest.raises(ProgramError, match=r"none\.pte cannot be read: No such file"):
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


def _without_key(raw: Any) -> Any:
    first, *others = raw.named_data
    return replace(raw, named_data=(replace(first, key=None), *others))


def _plan(raw: Any, **fields: Any) -> Any:
    return replace(raw, execution_plan=(replace(raw.execution_plan[0], **fields),))


def _without_operator(raw: Any) -> Any:
    operators = raw.execution_plan[0].operators
    return _plan(raw, operators=tuple(replace(operator, name=None) for operator in operators))


def _with_layout(raw: Any, order: tuple[int, ...]) -> Any:
    first, *others = raw.execution_plan[0].values
    return _plan(raw, values=(replace(first, val=replace(first.val, dim_order=order)), *others))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        # Found by `nox -s fuzz`: a damaged vtable hides the key of a named weight.
        (_without_key, "a weight in it has no name"),
        (_without_operator, "calls an operator without a name"),
        (lambda raw: _with_layout(raw, (0, 0)), r"of 2 dimensions has the layout \[0, 0\]"),
        (lambda raw: _with_layout(raw, ()), r"of 2 dimensions has the layout \[\]"),
        (lambda raw: _plan(raw, non_const_buffer_sizes=(0, -8)), "plans memory of -8 bytes"),
        (lambda raw: _plan(raw, non_const_buffer_sizes=(0, 8)), r"planned to end at byte \d+ of 8"),
        (lambda raw: _plan(raw, non_const_buffer_sizes=()), "refers to memory 1 of 0"),
    ],
)
def test_damaged_records_are_refused(
    exported: Callable[[str], Any],
    monkeypatch: pytest.MonkeyPatch,
    damage: Callable[[Any], Any],
    message: str,
) -> None:
    class Damaged(parser.Reader):
        def root(self) -> Any:
            return damage(super().root())

    monkeypatch.setattr(parser, "Reader", Damaged)
    with pytest.raises(ProgramError, match=message):
        read_program(exported("folded").path)


def test_an_arena_of_any_size_takes_no_memory_until_used(
    exported: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Damaged(parser.Reader):
        def root(self) -> Any:
            return _plan(super().root(), non_const_buffer_sizes=(0, 2**62))

    monkeypatch.setattr(parser, "Reader", Damaged)
    executor = PortableExecutor()
    executor.load(exported("folded").path)
    with pytest.raises(MachineError, match="plans 4611686018427387904 bytes of memory"):
        executor.call("forward", exported("folded").calls[0][1])


def test_a_loop_that_never_ends_is_ended(
    exported: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Damaged(parser.Reader):
        def root(self) -> Any:
            raw = super().root()
            # Its counter is multiplied instead of counted up, and stays 0.
            operators = tuple(
                replace(o, name="executorch_prim::gt") if o.name == "executorch_prim::eq"
                else replace(o, name="executorch_prim::mul") if o.name == "executorch_prim::add"
                else o
                for o in raw.execution_plan[0].operators
            )  # fmt: skip
            return _plan(raw, operators=operators)

    monkeypatch.setattr(parser, "Reader", Damaged)
    executor = PortableExecutor()
    executor.load(exported("mapping").path)
    with pytest.raises(
        ExecutionError, match=r"plan instruction \d+: its loop did not end in 4 turns"
    ):
        executor.call("forward", exported("mapping").calls[0][1])
