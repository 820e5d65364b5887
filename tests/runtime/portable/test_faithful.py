"""What upstream's interpreter does oddly without a word: refused, or done too if faithful."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from harness.errors import ExecutionError, SilentOddityWarning
from harness.runtime.portable.blas import mx

Run = Callable[..., Any]
ROWS = np.arange(6, dtype=np.float32).reshape(1, 6)


def written(run_node: Run, start: int, stop: int, update: np.ndarray, **given: Any) -> Any:
    return run_node(
        "SliceUpdateNode", dst=ROWS, update=update, axis=1, start=start, stop=stop, step=1, **given
    )


@pytest.mark.parametrize(("start", "stop"), [(6, 7), (9, 10), (-1, 0), (2**40, 2**40 + 1)])
def test_a_write_outside_is_dropped(run_node: Run, start: int, stop: int) -> None:
    with pytest.warns(SilentOddityWarning, match=r"a write at .* is dropped"):
        got = written(run_node, start, stop, ROWS[:, :1], faithful=True)
    np.testing.assert_array_equal(np.array(got), ROWS)


def test_a_dropped_write_must_still_fit_if_it_ends_before_it_starts(run_node: Run) -> None:
    with pytest.raises(ExecutionError, match="broadcast"):
        written(run_node, -1, 0, ROWS[:, :2], faithful=True)


def test_a_write_half_outside_is_refused_all_the_same(run_node: Run) -> None:
    with pytest.raises(ExecutionError, match="broadcast"):
        written(run_node, 5, 7, ROWS[:, :2], faithful=True)


@pytest.mark.parametrize("faithful", [False, True])
def test_an_update_of_more_dimensions_is_refused(run_node: Run, faithful: bool) -> None:
    with pytest.raises(ExecutionError, match="broadcast"):
        written(run_node, 0, 2, ROWS[None, :, :2], faithful=faithful)


def test_a_write_inside_warns_of_nothing(run_node: Run) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = written(run_node, 4, 6, -ROWS[:, 1:3], faithful=True)
    np.testing.assert_array_equal(np.array(got), [[0, 1, 2, 3, -1, -2]])


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (np.array([2**32 + 3]), 3),
        (np.array([-(2**31) - 1]), 2**31 - 1),
        (np.array([1.5], np.float32), 0x3FC00000),
        (np.array([2**32 - 1], np.uint32), -1),
    ],
)
def test_an_integer_value_is_the_first_four_bytes(
    run_node: Run, x: np.ndarray, expected: int
) -> None:
    with pytest.warns(SilentOddityWarning, match="four bytes|does not fit 32 bits"):
        assert run_node("ItemIntNode", x=x, faithful=True) == expected
    with pytest.raises(ExecutionError, match="native would"):
        run_node("ItemIntNode", x=x)


@pytest.mark.parametrize("faithful", [False, True])
@pytest.mark.parametrize("truth", [False, True])
def test_a_truth_value_is_read_with_a_warning(run_node: Run, truth: bool, faithful: bool) -> None:
    with pytest.warns(SilentOddityWarning, match="three bytes beyond, taken for 0"):
        assert run_node("ItemIntNode", x=np.array(truth), faithful=faithful) == int(truth)


@pytest.mark.parametrize("x", [np.array([1], np.uint8), np.array([1], np.int16)])
def test_fewer_than_four_bytes_are_refused(run_node: Run, x: np.ndarray) -> None:
    with pytest.raises(ExecutionError, match="native would read garbage"):
        run_node("ItemIntNode", x=x, faithful=True)


def test_strides_of_positions_are_ignored(run_node: Run) -> None:
    positions = mx.array(np.array([0, 4, 3, 5]))[::2]
    given = {"dst": np.zeros((6, 1), np.float32), "update": np.array([[1], [2]], np.float32)}
    with pytest.warns(SilentOddityWarning, match="a stride of 16 bytes, which is ignored"):
        got = run_node("IndexCopyNode", indices=positions, axis=0, faithful=True, **given)
    np.testing.assert_array_equal(np.array(got)[:, 0], [1, 0, 0, 0, 2, 0])
    with pytest.raises(ExecutionError, match="native would ignore it"):
        run_node("IndexCopyNode", indices=positions, axis=0, **given)


def test_positions_that_would_leave_their_memory_are_refused(run_node: Run) -> None:
    positions = mx.array(np.array([0, 4, 3, 5]))[::-1]
    given = {"dst": np.zeros((6, 1), np.float32), "update": np.ones((4, 1), np.float32)}
    with pytest.raises(ExecutionError, match="native would ignore it"):
        run_node("IndexCopyNode", indices=positions, axis=0, faithful=True, **given)


def test_more_positions_than_rows_are_refused(run_node: Run) -> None:
    with pytest.raises(ExecutionError, match="broadcast"):
        run_node(
            "IndexCopyNode",
            dst=np.zeros((6, 1), np.float32),
            update=np.ones((2, 1), np.float32),
            indices=np.array([0, 1, 4, 5]),
            axis=0,
        )


@pytest.mark.parametrize("faithful", [False, True])
@pytest.mark.parametrize("index", [6, -7])
def test_garbage_is_never_read(run_node: Run, faithful: bool, index: int) -> None:
    given = {"axis": 1, "faithful": faithful}
    for name, field in (("TakeNode", "index"), ("TakeAlongAxisNode", "indices")):
        with pytest.raises(ExecutionError, match="native would read garbage"):
            run_node(name, x=ROWS, **{field: np.array([[index]])}, **given)


def test_truth_values_are_no_indices(run_node: Run) -> None:
    with pytest.raises(ExecutionError, match="truth values"):
        run_node("GatherNode", x=ROWS, indices=(np.array([True]),), axes=(1,), slice_sizes=(1, 1))


def test_an_empty_tensor_may_be_padded_and_tiled(run_node: Run) -> None:
    empty = np.zeros((0, 2), np.float32)
    padded = run_node("PadNode", x=empty, pad_width=(0, 0, 1, 0), mode="constant")
    assert padded.shape == (0, 3)
    assert run_node("TileNode", x=empty, reps=(2, 2)).shape == (0, 4)


def test_it_is_chosen_by_name_with_mlxs_own_blas() -> None:
    code = (
        "from harness.runtime.select import choose; "
        "print(choose('portable:faithful').fingerprint.notes)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "MLX's own" in done.stdout
    assert "accumulates in MLX's CPU type" in done.stdout
    assert "MLX's own kernels only" in done.stdout
