"""Large weights are read past the mapping; they must be the bytes of the file all the same."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from harness.errors import ProgramError
from harness.pte.dtypes import SCALAR_TYPES
from harness.pte.mapped_file import MappedFile
from harness.pte.plan import Span
from harness.pte.program import Program
from harness.runtime.portable import tensors
from harness.runtime.portable.blas import mx
from harness.runtime.portable.tensors import to_numpy

OFFSET = 4099


@pytest.mark.parametrize("large", [1, 1 << 40], ids=["read", "mapped"])
@pytest.mark.parametrize("shape", [(1,), (7,), (64, 3, 1031)])
@pytest.mark.parametrize("name", [s.name for s in SCALAR_TYPES.values() if s.delegated])
def test_a_tensor_is_the_bytes_of_its_file(
    name: str, shape: tuple[int, ...], large: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (scalar,) = [s for s in SCALAR_TYPES.values() if s.name == name]
    dtype = np.dtype(getattr(ml_dtypes, name, None) or scalar.numpy)
    octets = np.random.default_rng(1).integers(0, 2, dtype.itemsize * int(np.prod(shape)), np.uint8)
    path = tmp_path / "weights.pte"
    path.write_bytes(b"\1" * OFFSET + octets.tobytes() + b"\2" * 50)
    monkeypatch.setattr(tensors, "_LARGE", large)
    file = MappedFile(path, ".pte")
    program = Program(path, {}, {}, (file,))
    path.unlink()
    path.write_bytes(b"\3" * 10)  # what takes its place is another file

    array = tensors.read_tensor(program, Span(OFFSET, octets.size), scalar, shape)
    program.close()

    assert array.shape == shape
    with mx.stream(mx.cpu):
        assert to_numpy(array).tobytes() == octets.tobytes()


def test_a_file_that_was_cut_short_is_named(tmp_path: Path) -> None:
    path = tmp_path / "weights.pte"
    path.write_bytes(b"\0" * (tensors._LARGE + 5))
    program = Program(path, {}, {}, (MappedFile(path, ".pte"),))
    with path.open("r+b") as file:
        file.truncate(tensors._LARGE)

    with pytest.raises(ProgramError, match=r"weights\.pte was cut short"):
        tensors.read_tensor(program, Span(5, tensors._LARGE), SCALAR_TYPES[0], (tensors._LARGE,))
