"""The benchmark's arithmetic, and loading in a process of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fixtures.exports import Line as Parity
from harness.bench.loading import measure_loading
from harness.bench.measure import Row
from harness.errors import MachineError


@pytest.mark.parametrize(
    ("ratio", "target", "met"),
    [(1.4, 1.5, True), (1.6, 1.5, False), (1.4, None, None), (None, 1.5, None)],
)
def test_a_target_is_met_up_to_itself(
    ratio: float | None, target: float | None, met: bool | None
) -> None:
    assert Row("codec", "1 ms", ratio, target).met is met


def test_loading_is_measured_in_another_process(tiny_line: Parity) -> None:
    path = tiny_line.artifact("model.pte").path
    found = measure_loading(path)
    assert found.gigabytes == path.stat().st_size / 1e9
    assert 0 < found.seconds < 60


def test_a_process_that_cannot_load_is_the_machines_failure(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match=r"loads .*none\.pte failed: .*none\.pte"):
        measure_loading(tmp_path / "none.pte")


def test_memory_is_seen_to_grow_though_the_caller_is_larger(tiny_line: Parity) -> None:
    large = np.ones(400_000_000, np.uint8)  # more than the child ever holds
    path = tiny_line.artifact("model.pte").path
    found = measure_loading(path)
    assert large[-1] == 1
    # MLX holds a copy of every weight, and a weight is nearly all that the file has.
    assert found.grown > 0.8 * found.gigabytes
