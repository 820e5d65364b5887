"""Files given as a voice that hold no voice, or run something when they are read."""

from __future__ import annotations

import ast
import io
import pickle
import random
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import PIPE
from typing import Any

import numpy as np

from tests.hostile.case import EITHER, REFUSED, Case, Desk

__all__ = ["cases"]


def cases() -> Iterator[Case]:
    """A `.pt` or `.bin` file given as --voice."""
    contents: dict[str, Callable[[Path], bytes]] = {
        "text": lambda marker: b"neutral_female",
        "empty": lambda marker: b"",
        "zeros": lambda marker: bytes(1000),
        "zip of nothing": lambda marker: _zip({}),
        "zip of text": lambda marker: _zip({"x/data.pkl": b"text"}),
        "zip cut": lambda marker: _saved("torch.zeros(3, 256)")[:-40],
        "pickle that runs": lambda marker: pickle.dumps(_Runs(marker)),
        "zip with a pickle that runs": lambda marker: _zip(
            {"x/data.pkl": pickle.dumps(_Runs(marker), 2), "x/version": b"3"}
        ),
        "bomb": lambda marker: _bomb(),
        "dictionary": lambda marker: _saved("{'a': torch.zeros(3, 256)}"),
        "list": lambda marker: _saved("[torch.zeros(3, 256)]"),
        "other width": lambda marker: _saved("torch.zeros(3, 255)"),
        "one axis": lambda marker: _saved("torch.zeros(256)"),
        "no rows": lambda marker: _saved("torch.zeros(0, 256)"),
        "NaN": lambda marker: _saved("torch.full((3, 256), float('nan'))"),
        "whole numbers": lambda marker: _saved("torch.zeros(3, 256, dtype=torch.int64)"),
        "complex": lambda marker: _saved("torch.zeros(3, 256, dtype=torch.complex64)"),
        "quantised": lambda marker: _saved(
            "torch.quantize_per_tensor(torch.zeros(3, 256), 1.0, 0, torch.qint8)"
        ),
        "sparse": lambda marker: _saved("torch.zeros(3, 256).to_sparse()"),
        "meta": lambda marker: _saved("torch.zeros(3, 256, device='meta')"),
        "stride 0": lambda marker: _saved("torch.zeros(1, 256).expand(10_000_000, 256)"),
        "transposed": lambda marker: _saved("torch.zeros(256, 3).T"),
        "wants gradients": lambda marker: _saved("torch.zeros(3, 256, requires_grad=True)"),
        "module": lambda marker: _saved("torch.nn.Linear(2, 2)"),
        "damaged": lambda marker: _flipped(_saved("torch.zeros(3, 256)")),
    }
    harmless = {"transposed", "wants gradients", "whole numbers", "damaged"}
    for name, content in contents.items():
        for suffix in (".pt", ".bin") if name in ("text", "empty", "zeros") else (".pt",):
            yield _voice(f"voice {name} {suffix}", content, suffix, name in harmless)
    yield Case("checkpoint", "voice sparse file of 6 GB", _sparse_file, REFUSED)


def _voice(name: str, content: Callable[[Path], bytes], suffix: str, harmless: bool) -> Case:
    def set_up(desk: Desk) -> list[str]:
        marker = desk.directory / "it-ran"
        desk.forbidden.append(marker)
        file = desk.path(f"voice{suffix}")
        file.write_bytes(content(marker))
        return [
            *("synth", "--text", "Hello.", "--executor", "eager", "--max-new-tokens", "1"),
            *("--voice", str(file), "--json", str(desk.old_report())),
        ]

    return Case("checkpoint", name, set_up, EITHER if harmless else REFUSED)


def _sparse_file(desk: Desk) -> list[str]:
    file = desk.path("voice.bin")
    with file.open("wb") as made:
        made.truncate(6 << 30)
    return ["synth", "--text", "Hello.", "--voice", str(file)]


class _Runs:
    """Pickled, it makes the marker when it is read."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (str(self.marker), "w"))


def _saved(expression: str) -> bytes:
    # In a process of its own: where torch has computed, no process that is forked can.
    code = (
        f"import io, torch; torch.save({expression}, made := io.BytesIO()); print(made.getvalue())"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, stdout=PIPE)
    return bytes(ast.literal_eval(done.stdout.decode()))


def _zip(files: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return made.getvalue()


def _bomb() -> bytes:
    """A tensor's archive whose numbers are 4 GB of zeros, packed."""
    import torch

    rows = 4 << 20
    with torch.serialization.skip_data():
        skeleton = io.BytesIO()
        torch.save(torch.empty(rows, 256), skeleton)
    source = zipfile.ZipFile(skeleton)
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for item in source.infolist():
            if item.filename.endswith("/data/0"):
                with archive.open(item.filename, "w", force_zip64=True) as file:
                    block = bytes(1 << 24)
                    for _ in range(64):  # the first gigabyte is enough to show who reads it all
                        file.write(block)
            else:
                archive.writestr(item.filename, source.read(item.filename))
    return made.getvalue()


def _flipped(data: bytes) -> bytes:
    noise = random.Random(7)
    numbers = np.frombuffer(data, np.uint8).copy()
    for _ in range(20):
        numbers[noise.randrange(len(numbers))] ^= 1 << noise.randrange(8)
    return numbers.tobytes()
