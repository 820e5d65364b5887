"""Programs exported by upstream give what eager torch gives, and misuse is refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.errors import ExecutionError, InputError
from harness.runtime.portable import PortableExecutor
from harness.runtime.portable.method import Location
from harness.runtime.protocol import TensorSpec


def difference(got: np.ndarray, expected: np.ndarray) -> float:
    """Greatest difference on the scale of the expected values."""
    assert got.shape == expected.shape
    assert got.dtype == expected.dtype
    got, expected = got.astype(np.float64), expected.astype(np.float64)
    return float(np.abs(got - expected).max() / np.abs(expected).max())


@pytest.fixture
def load(exported: Callable[[str], Any]) -> Callable[[str], tuple[PortableExecutor, Any]]:
    def opened(case: str) -> tuple[PortableExecutor, Any]:
        executor = PortableExecutor()
        executor.load(exported(case).path)
        return executor, exported(case).calls

    return opened


@pytest.mark.parametrize(
    "case", ["linear", "convolutions", "attention", "lookup", "several", "undelegated"]
)
def test_float32_agrees_with_eager(load: Any, case: str) -> None:
    executor, calls = load(case)
    for method, inputs, expected in calls:
        # Sums of at most 128 float32 terms: a few units in the last place (6e-8).
        assert difference(executor.call(method, inputs)[0], expected) < 1e-6


def test_integer_and_boolean_inputs_reach_a_bfloat16_output(load: Any) -> None:
    executor, [(method, inputs, expected)] = load("masked")
    (got,) = executor.call(method, inputs)
    assert got.dtype.name == "bfloat16"
    # One rounding of a float32 sum to 8 bits of mantissa.
    assert difference(got, expected) <= 2**-8


def test_quantised_linear_and_embedding_agree_with_eager(load: Any) -> None:
    executor, [(method, inputs, expected)] = load("quantized")
    # Eager rounds the dequantised weight to bfloat16 (2**-9 a term) before it multiplies.
    assert difference(executor.call(method, inputs)[0], expected) < 0.01


def test_faithful_accumulates_in_bfloat16(exported: Any) -> None:
    program = exported("quantized")
    method, inputs, _ = program.calls[0]
    outputs = []
    for faithful in (False, True):
        executor = PortableExecutor(faithful=faithful)
        executor.load(program.path)
        outputs.append(executor.call(method, inputs)[0])
    assert difference(*outputs) > 0
    assert difference(*outputs) < 0.03


def test_states_are_apart_and_reset_to_zero(load: Any) -> None:
    executor, calls = load("attention")
    method, prefill, expected = calls[0]
    executor.call(method, prefill, state="one")
    _, step, second = calls[1]
    alone = executor.call(method, step, state="two")[0]
    assert difference(executor.call(method, step, state="one")[0], second) < 1e-6
    assert difference(alone, second) > 0.01
    executor.reset("one")
    assert np.array_equal(
        executor.call(method, step, state="one")[0], executor.call(method, step, state="three")[0]
    )
    executor.reset("one")
    assert difference(executor.call(method, prefill, state="one")[0], expected) < 1e-6


def test_loading_again_forgets_states(exported: Any) -> None:
    program = exported("attention")
    executor = PortableExecutor()
    results = []
    for _ in range(2):
        executor.load(program.path)
        executor.call("forward", program.calls[0][1])
        results.append(executor.call("forward", program.calls[1][1])[0])
    assert np.array_equal(*results)


def test_prefill_is_the_same_as_single_steps(load: Any) -> None:
    executor, calls = load("attention")
    (embeds, positions), expected = calls[0][1], calls[0][2]
    steps = [
        executor.call("forward", [embeds[:, i : i + 1], positions[i : i + 1]], state="steps")[0]
        for i in range(5)
    ]
    assert difference(np.concatenate(steps, axis=1), expected) < 1e-6


def test_a_write_past_the_cache_is_refused(load: Any) -> None:
    executor, calls = load("attention")
    embeds = calls[1][1][0]
    with pytest.raises(ExecutionError, match=r"SliceUpdateNode.*native would silently drop"):
        executor.call("forward", [embeds, np.array([16])])


def test_a_position_beyond_32_bits_is_refused(load: Any) -> None:
    executor, calls = load("attention")
    with pytest.raises(ExecutionError, match=r"ItemIntNode.*silently truncate"):
        executor.call("forward", [calls[1][1][0], np.array([2**32 + 3])])


def test_constant_methods_return_their_value(load: Any) -> None:
    executor, _ = load("several")
    got = {name: executor.call(name, [])[0] for name in executor.methods()[2:]}
    assert {name: value.item() for name, value in got.items()} == {
        "sample_rate": 24000,
        "voice": "casual_male",
        "streaming": True,
        "guidance": 1.2,
    }
    assert all(value.shape == () for value in got.values())
    assert got["sample_rate"].dtype == np.int64


def test_declared_inputs(load: Any) -> None:
    executor, _ = load("attention")
    assert executor.inputs("forward") == (
        TensorSpec("float32", (1, 8, 32), dynamic=True),
        TensorSpec("int64", (8,), dynamic=True),
    )


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([], r"forward takes 1 inputs \(got 0\)"),
        ([np.zeros((2, 8))], r"must be float32 \(got float64\)"),
        ([np.zeros((2, 8), ">f4")], r"must be float32 \(got >f4\)"),
        ([np.zeros((2, 9), np.float32)], r"must have shape \(2, 8\) \(got \(2, 9\)\)"),
        ([np.zeros((8,), np.float32)], r"must have shape \(2, 8\) \(got \(8,\)\)"),
    ],
)
def test_wrong_inputs_are_refused(load: Any, inputs: list[np.ndarray], message: str) -> None:
    executor, _ = load("linear")
    with pytest.raises(InputError, match=message):
        executor.call("forward", inputs)


@pytest.mark.parametrize(("shape", "message"), [((1, 9), r"at most \(1, 8\) \(got \(1, 9\)\)")])
def test_dynamic_shapes_stay_within_their_bound(
    load: Any, shape: tuple[int, ...], message: str
) -> None:
    executor, _ = load("lookup")
    with pytest.raises(InputError, match=message):
        executor.call("forward", [np.zeros(shape, np.int64)])


def test_an_index_outside_its_table_is_refused(load: Any) -> None:
    executor, _ = load("lookup")
    message = r"method 'forward', instruction \d+ \(TakeNode\): indices 0 to 50 leave axis 0"
    with pytest.raises(ExecutionError, match=message):
        executor.call("forward", [np.array([[0, 50]])])


def test_an_unknown_method_is_refused(load: Any) -> None:
    executor, _ = load("linear")
    with pytest.raises(InputError, match=r"method must be one of forward \(got 'backward'\)"):
        executor.call("backward", [])


def test_nothing_runs_before_load_or_after_close(exported: Any) -> None:
    executor = PortableExecutor()
    with pytest.raises(InputError, match="no program is loaded"):
        executor.methods()
    executor.load(exported("linear").path)
    executor.close()
    with pytest.raises(InputError, match="no program is loaded"):
        executor.methods()


def test_a_changed_weight_changes_the_answer(exported: Any, tmp_path: Path) -> None:
    program = exported("linear")
    method, inputs, expected = program.calls[0]
    whole = bytearray(program.path.read_bytes())
    # The weight's first element follows its segment's start; any float in the file's tail does.
    weight = np.frombuffer(bytes(whole[-512:]), np.float32).copy()
    weight[np.abs(weight).argmax()] *= 2
    whole[-512:] = weight.tobytes()
    changed = tmp_path / "changed.pte"
    changed.write_bytes(whole)
    executor = PortableExecutor()
    executor.load(changed)
    assert difference(executor.call(method, inputs)[0], expected) > 1e-3


def test_an_observer_sees_every_node(load: Any) -> None:
    executor, [(method, inputs, expected)] = load("linear")
    seen = []

    def observer(where: Location, node: Any, made: tuple[Any, ...]) -> None:
        seen.append((where.node, type(node).__name__, made))

    executor.call(method, inputs, observer=observer)
    assert [(i, name) for i, name, _ in seen] == [
        (None, "Entered"),
        (0, "TransposeNode"),
        (1, "AddmmNode"),
        (2, "GeluNode"),
    ]
    assert difference(np.array(seen[-1][2][0]), expected) < 1e-6


def test_the_fingerprint_tells_the_blas() -> None:
    notes = PortableExecutor().fingerprint.notes
    assert any(re.match("BLAS: ", note) for note in notes)
