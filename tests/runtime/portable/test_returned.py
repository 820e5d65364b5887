"""The local link also holds what a method returned against what its last step made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fixtures.exports import Line
from harness.arrays import Array
from harness.methods import MODEL
from harness.runtime.portable import PortableExecutor


class Louder(PortableExecutor):
    """Multiplies one element of every output by 1.001."""

    def call(self, method: str, inputs: Sequence[Array], **options: Any) -> list[Array]:
        (y,) = super().call(method, inputs, **options)
        y.flat[3] *= np.float32(1.001)
        return [y]


def watched(executor: PortableExecutor, tiny_line: Line) -> list[tuple[str, tuple[int, ...]]]:
    executor.load(tiny_line.artifact(MODEL).path)
    call = tiny_line.case("predict_velocity")[1].case.calls[0]
    _, steps = executor.watch("predict_velocity", call)
    return [(s.op, s.error.index) for s in steps if s.error is not None and s.error.worst > 1]


def test_what_is_returned_is_what_the_last_step_made(tiny_line: Line) -> None:
    assert watched(PortableExecutor(), tiny_line) == []


def test_another_output_is_seen(tiny_line: Line) -> None:
    assert watched(Louder(), tiny_line) == [("output", (0, 3))]
