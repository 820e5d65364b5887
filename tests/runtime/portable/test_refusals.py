"""Only what MLX, torch or the program's own rules refuse is the program's fault."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from harness.errors import (
    ExecutionError,
    HarnessError,
    InputError,
    MachineError,
    UnsupportedError,
)
from harness.pte.plan import KernelCall, Plan, TensorValue
from harness.runtime.portable import PortableExecutor
from harness.runtime.portable import interpreter as interpreter_module
from harness.runtime.portable.blas import mx
from harness.runtime.portable.kernels import Kernel
from harness.runtime.portable.method import Method
from harness.runtime.portable.refusals import attributed, refusal, short

OURS = [
    TypeError("unsupported operand"),
    KeyError("x"),
    AttributeError("no such attribute"),
    IndexError("list index out of range"),
    ValueError("not enough values to unpack (expected 2, got 1)"),
    RuntimeError("dictionary changed size during iteration"),
    MemoryError(),
    RecursionError("maximum recursion depth exceeded"),
    ZeroDivisionError("division by zero"),
]


def raising(error: Exception) -> Callable[..., Any]:
    def op(*given: Any) -> Any:
        raise error

    return op


@pytest.mark.parametrize(
    "refuse",
    [
        lambda: mx.reshape(mx.zeros((2, 3)), (4,)),
        lambda: mx.zeros(2) + mx.zeros(3),
        lambda: mx.zeros((2, 3)) @ mx.zeros((2, 3)),
        lambda: mx.expand_dims(mx.zeros(2), 5),
        lambda: mx.transpose(mx.zeros((2, 3)), (0, 0)),
        lambda: mx.concatenate([mx.zeros((2, 3)), mx.zeros((2, 2, 2))], axis=0),
        lambda: mx.take(mx.zeros((2, 3)), mx.array([0]), axis=4),
        lambda: mx.conv1d(mx.zeros((1, 4, 2)), mx.zeros((3, 2, 5))),
        lambda: mx.softmax(mx.zeros((2, 3)), axis=7),
        lambda: mx.broadcast_to(mx.zeros((2, 3)), (2, 4)),
        lambda: mx.quantized_matmul(mx.zeros((2, 32)), mx.zeros((4, 3)), mx.zeros(1), mx.zeros(1)),
        lambda: mx.fast.rms_norm(mx.zeros((2, 3)), mx.zeros(4), 1e-5),
        lambda: mx.split(mx.zeros((2, 3)), 2, axis=1),
        lambda: mx.eval(mx.linalg.inv(mx.zeros((2, 2)))),
    ],
)
def test_what_mlx_says_is_the_programs_fault(refuse: Callable[[], Any]) -> None:
    with mx.stream(mx.cpu), pytest.raises((HarnessError, ValueError)) as raised:
        refuse()
    assert type(attributed(raised.value)) is ExecutionError


@pytest.mark.parametrize("error", OURS, ids=repr)
def test_any_other_exception_is_nobodys_refusal(error: Exception) -> None:
    assert attributed(error) is None


@pytest.mark.parametrize(
    "said",
    [
        "[malloc] Unable to allocate 1099511627776 bytes.",
        "[METAL] Command buffer execution failed: Insufficient Memory",
        "[metal::Device] Unable to load kernel steel_gemm_fused_nn_float32",
        "cudaMallocManaged failed: out of memory.",
        "cublasLtMatmul(...) failed with code: 13.",
    ],
)
def test_no_memory_and_a_broken_gpu_are_the_machines_fault(said: str) -> None:
    error = RuntimeError(said)
    assert type(attributed(error)) is MachineError
    assert type(refusal(error)) is MachineError


def test_errors_of_the_tree_stay_what_they_are() -> None:
    for error in (InputError("x"), UnsupportedError("y"), MachineError("z")):
        assert attributed(error) is error


def test_a_foreign_message_is_cut() -> None:
    assert len(short("x" * 70_000 + "\nmore")) < 400


@pytest.mark.parametrize("error", OURS, ids=repr)
def test_a_bug_in_a_nodes_function_escapes_as_it_is(
    exported: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setitem(interpreter_module.OPS, "GeluNode", raising(error))
    method, inputs, _ = exported("linear").calls[0]
    executor = PortableExecutor()
    executor.load(exported("linear").path)
    with pytest.raises(type(error)) as raised:
        executor.call(method, inputs)
    assert raised.value is error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ValueError("[erf] no such thing"), ExecutionError),
        (ExecutionError("native would read garbage"), ExecutionError),
        (UnsupportedError("a Metal kernel"), UnsupportedError),
        (MachineError("more than 4 GB"), MachineError),
    ],
)
def test_a_refusal_keeps_its_kind_and_says_where(
    exported: Callable[[str], Any],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    kind: type[HarnessError],
) -> None:
    monkeypatch.setitem(interpreter_module.OPS, "GeluNode", raising(error))
    method, inputs, _ = exported("linear").calls[0]
    executor = PortableExecutor()
    executor.load(exported("linear").path)
    with pytest.raises(kind) as raised:
        executor.call(method, inputs)
    assert raised.type is kind
    expected = f"method 'forward', instruction 2 (GeluNode): {error}"
    assert str(raised.value) == expected


def kernel_of(call: Callable[..., Any]) -> Method:
    """A plan of one kernel that is `call` instead of torch's."""
    values = tuple(TensorValue(6, (2,), (0,), False, None) for _ in range(2))
    plan = Plan("m", values, (0,), (1,), (KernelCall("aten::neg.out", (0, 1, 1)),), (), (0,))

    class Staged(Kernel):
        def run(self, *given: Any) -> Any:
            return call()

    kernel = Staged("aten::neg.out", None, None)
    return Method(plan, Any, {}, {"aten::neg.out": kernel}, 2, [None, None])


@pytest.mark.parametrize("error", OURS, ids=repr)
def test_a_bug_beside_a_kernel_escapes_as_it_is(error: Exception) -> None:
    method = kernel_of(raising(error))
    with pytest.raises(type(error)) as raised:
        method.call([np.ones(2, np.float32)], method.fresh())
    assert raised.value is error


@pytest.mark.parametrize("kind", [ExecutionError, UnsupportedError, MachineError])
def test_what_a_kernel_refuses_keeps_its_kind(kind: type[HarnessError]) -> None:
    method = kernel_of(raising(kind("no")))
    with pytest.raises(kind) as raised:
        method.call([np.ones(2, np.float32)], method.fresh())
    assert raised.type is kind
    assert str(raised.value) == "method 'm', plan instruction 0: op aten::neg.out: no"


def test_an_output_in_another_memory_layout_is_refused(exported: Callable[[str], Any]) -> None:
    """MLX's delegate writes rows, whatever the plan says."""
    method, inputs, _ = exported("linear").calls[0]
    executor = PortableExecutor()
    executor.load(exported("linear").path)
    plan = executor.prepare(method).plan
    for index, what in ((plan.outputs[0], "an output"), (plan.inputs[0], "an input of a delegate")):
        values = list(plan.values)
        given = values[index]
        assert isinstance(given, TensorValue)
        values[index] = TensorValue(given.scalar_type, given.sizes, (1, 0), False, None)
        turned = Plan(
            plan.name, tuple(values), plan.inputs, plan.outputs, plan.instructions, plan.delegates,
            plan.arenas,
        )  # fmt: skip
        ready = executor.prepare(method)
        initial = [None] * len(values)
        moved = Method(turned, ready.program, ready.delegates, {}, 2, initial)
        with pytest.raises(ExecutionError, match=f"{what} has the memory layout .*contiguous"):
            moved.call(inputs, moved.fresh())
