"""Lookups, gathers, scatters and cache updates; indices outside their tensor are refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from harness.errors import ExecutionError
from harness.runtime.portable.blas import mx

Run = Callable[..., Any]


def rows(*shape: int) -> np.ndarray:
    """0, 1, 2, … in that shape."""
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def equal(got: Any, expected: Any) -> None:
    np.testing.assert_array_equal(np.array(got), expected)


def test_take_by_number_and_by_tensor(run_node: Run, dynamic: Any) -> None:
    x = rows(3, 4)
    equal(run_node("TakeNode", x=x, index=-1, axis=1), x[:, -1])
    equal(run_node("TakeNode", x=x, index=dynamic(2), axis=0), x[2])
    equal(run_node("TakeNode", x=x, index=np.array([[2, -3]]), axis=0), x[[[2, 0]]])


@pytest.mark.parametrize("index", [3, -4])
def test_take_outside_is_refused(run_node: Run, index: int) -> None:
    with pytest.raises(ExecutionError, match="out of range for axis 0 of size 3"):
        run_node("TakeNode", x=rows(3, 4), index=index, axis=0)
    with pytest.raises(ExecutionError, match="native would read garbage"):
        run_node("TakeNode", x=rows(3, 4), index=np.array([0, index]), axis=0)


def test_take_along_axis(run_node: Run) -> None:
    x, indices = rows(2, 3), np.array([[2, 0, -1], [1, 1, 0]])
    equal(
        run_node("TakeAlongAxisNode", x=x, indices=indices, axis=1),
        np.take_along_axis(x, indices, 1),
    )
    with pytest.raises(ExecutionError, match="indices 0 to 3 leave axis 1 of size 3"):
        run_node("TakeAlongAxisNode", x=x, indices=np.array([[0, 3]]), axis=1)


def test_gather_leads_with_the_indices_shape(run_node: Run) -> None:
    x, at = rows(4, 5, 6), np.array([[0, 3], [2, 2]])
    got = run_node("GatherNode", x=x, indices=[at], axes=(1,), slice_sizes=(4, 1, 6))
    equal(got, np.take(x, at, axis=1).transpose(1, 2, 0, 3)[:, :, :, None])


def test_gather_on_two_axes_with_partial_blocks(run_node: Run) -> None:
    x, a, b = rows(4, 5, 6), np.array([0, 2]), np.array([[1], [-3], [0]])
    got = run_node("GatherNode", x=x, indices=[b, a], axes=(2, 0), slice_sizes=(2, 3, 1))
    expected = np.empty((3, 2, 2, 3, 1), np.float32)
    for i in range(3):
        for j in range(2):
            z = b[i, 0] % 6
            expected[i, j] = x[a[j] : a[j] + 2, :3, z : z + 1]
    equal(got, expected)


def test_gather_without_indices_is_a_slice(run_node: Run) -> None:
    x = rows(3, 4)
    equal(run_node("GatherNode", x=x, indices=[], axes=(), slice_sizes=(2, 4)), x[:2])


def test_gather_refuses_blocks_that_leave_the_tensor(run_node: Run) -> None:
    with pytest.raises(ExecutionError, match="indices 0 to 3 leave axis 0 of size 4"):
        run_node(
            "GatherNode", x=rows(4, 2), indices=[np.array([0, 3])], axes=(0,), slice_sizes=(2, 2)
        )
    with pytest.raises(ExecutionError, match="slice sizes"):
        run_node("GatherNode", x=rows(4, 2), indices=[np.array([0])], axes=(0,), slice_sizes=(1,))


@pytest.mark.parametrize(("index", "fits"), [(-1, False), (-2, True), (-4, True), (-5, False)])
def test_gather_counts_negative_indices_from_the_end(run_node: Run, index: int, fits: bool) -> None:
    given = {"x": rows(4, 2), "indices": [np.array([0, index])], "axes": (0,)}
    if fits:
        got = run_node("GatherNode", slice_sizes=(2, 2), **given)
        equal(got[1], rows(4, 2)[4 + index : 6 + index])
        return
    with pytest.raises(ExecutionError, match=r"leave axis 0 of size 4 in slices of 2"):
        run_node("GatherNode", slice_sizes=(2, 2), **given)


def test_scatter_add_sums_what_meets(run_node: Run) -> None:
    x, indices = rows(2, 3), np.array([[0, 0, 2, 0], [1, 2, -1, 2]])
    updates = 10 * rows(2, 4)
    expected = x.copy()
    for i in range(2):
        for j in range(4):
            expected[i, indices[i, j]] += updates[i, j]
    equal(run_node("ScatterAddNode", x=x, indices=indices, updates=updates, axis=1), expected)


def test_scatter_add_refuses_updates_larger_than_indices(run_node: Run) -> None:
    with pytest.raises(ExecutionError, match="are larger than indices"):
        run_node(
            "ScatterAddNode", x=rows(2, 3), indices=np.array([[0], [1]]), updates=rows(2, 2), axis=1
        )


def test_slice_update_writes_a_copy(run_node: Run, dynamic: Any) -> None:
    target, update = mx.array(rows(2, 6)), 100 + rows(2, 2)
    got = run_node(
        "SliceUpdateNode",
        dst=target,
        update=update,
        axis=1,
        start=dynamic(3),
        stop=dynamic(5),
        step=1,
    )
    expected = rows(2, 6)
    expected[:, 3:5] = update
    equal(got, expected)
    equal(target, rows(2, 6))


def test_slice_update_with_a_step_and_from_the_end(run_node: Run) -> None:
    got = run_node(
        "SliceUpdateNode",
        dst=rows(1, 6),
        update=np.full((1, 2), -1, np.float32),
        axis=1,
        start=-4,
        stop=6,
        step=2,
    )
    equal(got, [[0, 1, -1, 3, -1, 5]])


@pytest.mark.parametrize(("start", "stop"), [(6, 7), (9, 10), (-1, 0)])
def test_a_write_that_native_drops_is_refused(run_node: Run, start: int, stop: int) -> None:
    with pytest.raises(ExecutionError, match="native would silently drop the write"):
        run_node(
            "SliceUpdateNode",
            dst=rows(1, 6),
            update=rows(1, 1),
            axis=1,
            start=start,
            stop=stop,
            step=1,
        )


def test_a_write_half_outside_is_refused(run_node: Run) -> None:
    with pytest.raises(ExecutionError, match="broadcast"):
        run_node(
            "SliceUpdateNode", dst=rows(1, 6), update=rows(1, 2), axis=1, start=5, stop=7, step=1
        )


def test_slice_update_refuses_a_backward_step(run_node: Run) -> None:
    with pytest.raises(ExecutionError, match="at least 1"):
        run_node(
            "SliceUpdateNode", dst=rows(1, 6), update=rows(1, 1), axis=1, start=0, stop=1, step=-1
        )


def test_index_copy_writes_rows_last_one_wins(run_node: Run) -> None:
    target, update = rows(6, 2), 100 + rows(4, 2)
    expected = target.copy()
    expected[[4, 5, 1, 1]] = update
    got = run_node(
        "IndexCopyNode", dst=target, update=update, indices=np.array([4, -1, 1, 1]), axis=0
    )
    equal(got, expected)


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        (np.array([6]), "leave axis 0 of size 6"),
        (np.array([0], np.int32), "must be 1-d int64, got 1-d"),
        (np.array([[0]]), "must be 1-d int64, got 2-d"),
    ],
)
def test_index_copy_refuses(run_node: Run, indices: np.ndarray, message: str) -> None:
    with pytest.raises(ExecutionError, match=message):
        run_node("IndexCopyNode", dst=rows(6, 2), update=rows(1, 2), indices=indices, axis=0)


def test_index_copy_refuses_strided_indices(run_node: Run) -> None:
    indices = mx.array(np.array([0, 9, 3, 9]))[::2]
    with pytest.raises(ExecutionError, match="native would ignore it"):
        run_node("IndexCopyNode", dst=rows(6, 2), update=rows(2, 2), indices=indices, axis=0)
