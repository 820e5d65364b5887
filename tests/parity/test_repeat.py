"""A second export is compared byte by byte, and what differs is named."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from fixtures.exports import Line
from harness.checkpoint import Checkpoint
from harness.errors import MachineError
from harness.parity.repeat import compare_exports, exported_again
from harness.pte.plan import Span
from harness.pte.program import read_program


@pytest.fixture
def pair(tiny_line: Line, tmp_path: Path) -> tuple[Path, Path]:
    path = tiny_line.artifact("codec_decoder.pte").path
    return path, Path(shutil.copy(path, tmp_path / "second.pte"))


def flip(path: Path, offset: int) -> None:
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(content)


def test_a_copy_is_the_same(pair: tuple[Path, Path]) -> None:
    repeat = compare_exports(*pair)

    assert (repeat.same, repeat.benign) == (True, True)
    assert repeat.summary == f"the same {pair[0].stat().st_size:,} bytes"


def test_a_changed_weight_is_named(pair: tuple[Path, Path]) -> None:
    program = read_program(pair[1])
    name, where = next(iter(program.named_data.items()))
    program.close()
    flip(pair[1], where.offset)

    repeat = compare_exports(*pair)

    assert (repeat.same, repeat.benign) == (False, False)
    assert repeat.summary.startswith("1 of ")
    assert repeat.summary.endswith(f"the first at {where.offset:,}, in weight {name}")


def test_a_changed_payload_is_named(pair: tuple[Path, Path]) -> None:
    program = read_program(pair[1])
    where = program.plans["forward"].delegates[0].payload
    program.close()
    assert isinstance(where, Span)
    flip(pair[1], where.offset + where.size // 2)

    assert compare_exports(*pair).summary.endswith(", in delegate 0 of forward")


def test_bytes_that_nothing_reads_are_benign(pair: tuple[Path, Path]) -> None:
    with pair[1].open("ab") as file:
        file.write(b"\0\0\0")

    repeat = compare_exports(*pair)

    assert (repeat.same, repeat.benign) == (False, True)
    size = pair[0].stat().st_size
    assert repeat.summary == (
        f"3 of {size:,} bytes differ, the first at {size:,}; benign: graphs, payloads and weights "
        "are the same, only laid out otherwise"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags",
    [
        ("--precision", "fp32"),
        ("--precision", "bf16-4w8w"),
        ("--backend", "xnnpack"),
        ("--backend", "portable", "--dtype", "bf16"),
    ],
    ids=" ".join,
)
def test_exported_twice_is_the_same_twice(flags: tuple[str, ...], tiny: Checkpoint) -> None:
    """In two processes that share neither cache nor hash seed; the codec is bf16 in what ships."""
    arguments = ["export", "--checkpoint", str(tiny.directory), *flags]
    arguments += ["--max-seq-len", "64", "--max-codec-frames", "8"]
    with (
        exported_again(arguments, hash_seed="0") as first,
        exported_again(arguments, hash_seed="7") as again,
    ):
        for name in ("model.pte", "codec_decoder.pte"):
            assert compare_exports(first / name, again / name).same, name


def test_a_second_export_that_fails_says_why() -> None:
    with (
        pytest.raises(MachineError, match=r"exit code 2: .*which is neither"),
        exported_again(["export", "--checkpoint", "nowhere"]),
    ):
        pass
