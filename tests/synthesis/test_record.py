"""The recorder: what it keeps can be replayed exactly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from harness.arrays import Array
from harness.synthesis import Call, Recorder, Reset


class Counter:
    """Counts its calls, and writes over the array it returned before, as a bad runtime might."""

    def __init__(self) -> None:
        self.output = np.zeros(1)

    def call(self, method: str, inputs: Sequence[Array], *, state: str = "default") -> list[Array]:
        self.output += 1
        return [self.output]

    def reset(self, state: str = "default") -> None:
        self.output[:] = 0


def test_calls_and_resets_are_kept_in_order() -> None:
    recorder = Recorder(Counter())
    recorder.reset("a")
    recorder.call("x", [np.ones(2)], state="a")
    recorder.call("y", [np.ones(2), np.zeros(1)], state="b")
    assert [type(event) for event in recorder.events] == [Reset, Call, Call]
    assert [(call.method, call.state) for call in recorder.calls()] == [("x", "a"), ("y", "b")]
    assert [call.method for call in recorder.calls("y")] == ["y"]


def test_kept_arrays_do_not_follow_the_runners() -> None:
    recorder = Recorder(Counter())
    value = np.ones(2)
    recorder.call("x", [value])
    value[:] = 7
    recorder.call("x", [value])
    first, second = recorder.calls()
    assert (first.inputs[0].tolist(), second.inputs[0].tolist()) == ([1, 1], [7, 7])
    assert (first.output.tolist(), second.output.tolist()) == ([1], [2])


def test_kept_arrays_cannot_be_written_to() -> None:
    recorder = Recorder(Counter())
    recorder.call("x", [np.ones(2)])
    with pytest.raises(ValueError, match="read-only"):
        recorder.calls()[0].output[0] = 5
