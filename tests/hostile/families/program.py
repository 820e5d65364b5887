"""Programs that are cut, have bits flipped, or are not what the command line takes them for."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.hostile.case import ANY, EITHER, REFUSED, Case, Desk
from tests.hostile.families.checkpoint import replace

__all__ = ["cases"]

_CUTS = 32
_FLIPS = 48
_JUDGED = 12
"""Of the flips, those that `check` judges as well."""


def cases() -> Iterator[Case]:
    """A damaged file is refused, or harmless; only what is judged may be a mismatch."""
    for index in range(_CUTS):
        yield _inspect(
            f"cut {index}", lambda data, i=index: data[: len(data) * i // _CUTS], REFUSED
        )
    for index in range(_FLIPS):
        yield _inspect(f"flip {index}", lambda data, i=index: _flip(data, i), EITHER)
    for index in range(_JUDGED):
        yield _check(f"flip {index}", lambda data, i=index: _flip(data, i))
    for index in range(0, _CUTS, 4):
        yield _check(f"cut {index}", lambda data, i=index: _cut(data, i), REFUSED)
    odd: dict[str, Callable[[bytes], bytes]] = {
        "longer": lambda data: data + bytes(100),
        "zeros": lambda data: bytes(len(data)),
        "identifier alone": lambda data: data[:8],
        "root offset 2**32": lambda data: b"\xff\xff\xff\xff" + data[4:],
        "named .ptd": lambda data: data[:4] + b"FT01" + data[8:],
    }
    for name, change in odd.items():
        yield _inspect(name, change, EITHER)
        yield _check(name, change, ANY if name == "longer" else REFUSED)
    yield Case("program", "inspect as data of itself", _as_its_own_data, EITHER)
    yield Case("program", "check swapped files", _swapped, REFUSED)
    yield Case("program", "check one file alone", _one_alone, REFUSED, seconds=20)


def _cut(data: bytes, index: int) -> bytes:
    return data[: len(data) * index // _CUTS]


def _flip(data: bytes, index: int) -> bytes:
    """Eight bits: half of the files in the program's first bytes, half anywhere."""
    noise = random.Random(index)
    changed = bytearray(data)
    end = 40_000 if index % 2 else len(data)
    for _ in range(8):
        changed[noise.randrange(end)] ^= 1 << noise.randrange(8)
    return bytes(changed)


def _inspect(name: str, change: Callable[[bytes], bytes], codes: set[int]) -> Case:
    def set_up(desk: Desk) -> list[str]:
        file = desk.path("program.pte")
        file.write_bytes(change((desk.world.artifacts / "codec_decoder.pte").read_bytes()))
        return ["inspect", str(file), "--json", str(desk.old_report())]

    return Case("program", f"inspect {name}", set_up, codes)


def _check(name: str, change: Callable[[bytes], bytes], codes: set[int] = ANY) -> Case:
    def set_up(desk: Desk) -> list[str]:
        directory = desk.artifacts()
        file = directory / "codec_decoder.pte"
        replace(file, change(file.read_bytes()))
        report = desk.old_report()
        return ["check", "codec", "--artifacts", str(directory), "--json", str(report)]

    # Of a wrong program the wrong node is looked for, beside a lowering made anew.
    seconds = 30 if codes == REFUSED else 120
    return Case("program", f"check {name}", set_up, codes, seconds)


def _as_its_own_data(desk: Desk) -> list[str]:
    file = str(desk.world.artifacts / "codec_decoder.pte")
    return ["inspect", file, "--data", file, "--json", str(desk.old_report())]


def _swapped(desk: Desk) -> list[str]:
    directory = desk.artifacts()
    one, other = directory / "model.pte", directory / "codec_decoder.pte"
    hold = Path(f"{one}.tmp")
    one.rename(hold)
    other.rename(one)
    hold.rename(other)
    return ["check", "--artifacts", str(directory), "--json", str(desk.old_report())]


def _one_alone(desk: Desk) -> list[str]:
    directory = desk.artifacts()
    (directory / "codec_decoder.pte").unlink()
    return ["check", "codec", "--artifacts", str(directory), "--json", str(desk.old_report())]
