"""Both executors have the protocol's methods, and ask the same of their inputs."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

from harness.arrays import BFLOAT16
from harness.errors import InputError
from harness.runtime.native import NativeExecutor
from harness.runtime.portable import PortableExecutor
from harness.runtime.protocol import Executor, TensorSpec, check_inputs

MEMBERS = [name for name in vars(Executor) if not name.startswith("_")]


@pytest.mark.parametrize("kind", [NativeExecutor, PortableExecutor])
@pytest.mark.parametrize("name", MEMBERS)
def test_it_can_be_called_as_the_protocol_says(kind: type[Any], name: str) -> None:
    asked, has = getattr(Executor, name), getattr(kind, name)
    if isinstance(asked, property):
        assert isinstance(has, property)
        return
    wanted = inspect.signature(asked).parameters.values()
    found = inspect.signature(has).parameters
    for parameter in wanted:
        assert (found[parameter.name].kind, found[parameter.name].default) == (
            parameter.kind,
            parameter.default,
        )
    extra = set(found) - {parameter.name for parameter in wanted}
    assert all(found[name].default is not inspect.Parameter.empty for name in extra)


SPECS = (TensorSpec("float32", (1, 8), dynamic=True), TensorSpec("bfloat16", (2,)))
GOOD = (np.zeros((1, 3), np.float32), np.zeros(2, BFLOAT16))


def test_good_inputs_come_back_as_arrays() -> None:
    first, second = check_inputs("m", SPECS, GOOD)
    assert (first.dtype, second.dtype) == (np.float32, BFLOAT16)


@pytest.mark.parametrize(
    ("position", "given", "message"),
    [
        (0, np.zeros((1, 3)), "input 0 of m must be float32 (got float64)"),
        (0, np.zeros((1, 3), ">f4"), "input 0 of m must be float32 (got >f4)"),
        (1, np.zeros(2, np.float32), "input 1 of m must be bfloat16 (got float32)"),
        (1, np.zeros(2, np.uint16), "input 1 of m must be bfloat16 (got uint16)"),
        (0, np.zeros((1, 9), np.float32), "must have shape at most (1, 8) (got (1, 9))"),
        (0, np.zeros(3, np.float32), "must have shape at most (1, 8) (got (3,))"),
        (1, np.zeros(1, BFLOAT16), "must have shape (2,) (got (1,))"),
    ],
)
def test_others_are_bad_input(position: int, given: np.ndarray[Any, Any], message: str) -> None:
    inputs = list(GOOD)
    inputs[position] = given
    with pytest.raises(InputError) as raised:
        check_inputs("m", SPECS, inputs)
    assert message in str(raised.value)


def test_their_number_counts() -> None:
    with pytest.raises(InputError, match=r"m takes 2 inputs \(got 1\)"):
        check_inputs("m", SPECS, GOOD[:1])


def test_inputs_that_the_export_fixed_may_be_left_out() -> None:
    specs = (SPECS[0], TensorSpec("None", ()), SPECS[1])
    for given in (GOOD, (GOOD[0], None, GOOD[1])):
        first, nothing, second = check_inputs("m", specs, given)
        assert nothing.item() is None
        assert (first.dtype, second.dtype) == (np.float32, BFLOAT16)
    with pytest.raises(InputError, match=r"m takes 3 inputs \(got 1\)"):
        check_inputs("m", specs, GOOD[:1])
    numbers = (*specs, TensorSpec("int64", (), value=0), TensorSpec("bool", (), value=True))
    assert [a.item() for a in check_inputs("m", numbers, GOOD)[3:]] == [0, True]
    with pytest.raises(InputError, match="input 1 of m must be None"):
        check_inputs("m", specs, (GOOD[0], np.zeros(2), GOOD[1]))
