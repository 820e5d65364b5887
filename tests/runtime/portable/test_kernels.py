"""What a plan does around its delegates: kernels, branches, loops, views, buffers, data files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.errors import ExecutionError, ProgramError, UnavailableError, UnsupportedError
from harness.pte.coverage import delegation
from harness.pte.plan import (
    FreeCall,
    IntList,
    JumpFalseCall,
    KernelCall,
    MoveCall,
    Plan,
    TensorValue,
)
from harness.pte.program import read_program
from harness.runtime.portable import PortableExecutor, kernels
from harness.runtime.portable.kernels import find_kernel
from harness.runtime.portable.method import Method


def difference(got: np.ndarray, expected: np.ndarray) -> float:
    assert got.shape == expected.shape
    assert got.dtype == expected.dtype
    return float(np.abs(got - expected).max() / np.abs(expected).max())


def opened(program: Any) -> PortableExecutor:
    executor = PortableExecutor()
    executor.load(program.path)
    return executor


@pytest.mark.parametrize(
    "case", ["folded", "counting", "cached", "branching", "mapping", "shaped", "undelegated"]
)
def test_it_agrees_with_eager_call_after_call(exported: Callable[[str], Any], case: str) -> None:
    program = exported(case)
    executor = opened(program)
    for method, inputs, expected in program.calls:
        # Sums of at most 16 float32 terms: a few units in the last place (6e-8).
        assert difference(executor.call(method, inputs)[0], expected) < 1e-6


@pytest.mark.parametrize(
    ("case", "delegates", "kernel"),
    [
        ("folded", 2, "aten::index_put.out"),
        ("cached", 3, "llama::update_cache.out"),
        ("cached", 3, "llama::custom_sdpa.out"),
        ("branching", 2, "aten::sin.out"),
        ("undelegated", 0, "aten::gelu.out"),
        ("mapping", 0, "executorch_prim::et_copy_index.tensor"),
        ("shaped", 0, "executorch_prim::et_view.default"),
        ("shaped", 0, "aten::sym_size.int"),
    ],
)
def test_the_cases_hold_what_they_stand_for(
    exported: Callable[[str], Any], case: str, delegates: int, kernel: str
) -> None:
    (method,) = delegation(exported(case).path)
    assert method.delegates.get("MLXBackend", 0) == delegates
    assert kernel in method.kernel_calls


def test_the_branching_case_moves_and_jumps(exported: Callable[[str], Any]) -> None:
    program = read_program(exported("branching").path)
    kinds = Counter(type(call) for call in program.plans["forward"].instructions)
    program.close()
    assert kinds[JumpFalseCall] == 2
    assert kinds[MoveCall] == 2
    assert kinds[FreeCall] == 0


def test_states_keep_what_kernels_wrote_apart(exported: Callable[[str], Any]) -> None:
    program = exported("counting")
    executor = opened(program)
    (_, first, expected), (_, second, _), _ = program.calls
    executor.call("forward", second, state="other")
    assert difference(executor.call("forward", first)[0], expected) < 1e-6
    executor.reset()
    assert difference(executor.call("forward", first)[0], expected) < 1e-6


def test_a_kernel_leaves_the_callers_input_alone(exported: Callable[[str], Any]) -> None:
    program = exported("folded")
    _, inputs, _ = program.calls[0]
    kept = [array.copy() for array in inputs]
    opened(program).call("forward", inputs)
    assert all(np.array_equal(a, b) for a, b in zip(inputs, kept, strict=True))


def test_a_kernel_that_refuses_is_named_with_its_place(exported: Callable[[str], Any]) -> None:
    program = exported("folded")
    x = program.calls[0][1][0]
    message = r"method 'forward', plan instruction \d+: op aten::index_put.out: .*out of "
    with pytest.raises(ExecutionError, match=message):
        opened(program).call("forward", [x, np.array([4, 0, 6])])


def test_another_backend_is_refused_by_name(exported: Callable[[str], Any]) -> None:
    program = exported("xnnpack")
    message = r"lowered to XnnpackBackend.*--executor xnnpack"
    with pytest.raises(UnavailableError, match=message):
        opened(program).call("forward", program.calls[0][1])


def test_constants_come_from_a_data_file(exported: Callable[[str], Any]) -> None:
    program = exported("external")
    executor = PortableExecutor()
    executor.load(program.path, [program.path.with_suffix(".ptd")])
    ((method, inputs, expected),) = program.calls
    assert difference(executor.call(method, inputs)[0], expected) < 1e-6


def test_a_missing_data_file_is_named_with_the_weight(exported: Callable[[str], Any]) -> None:
    program = exported("external")
    with pytest.raises(ProgramError, match=r"needs 'linear\.\w+', which .* another file"):
        opened(program).call("forward", program.calls[0][1])


def test_a_data_file_of_another_export_is_refused(
    exported: Callable[[str], Any], tmp_path: Path
) -> None:
    program = exported("external")
    whole = program.path.with_suffix(".ptd").read_bytes()
    # The weight's sizes in its TensorLayout: (16, 8).
    sizes = (2).to_bytes(4, "little") + (16).to_bytes(4, "little") + (8).to_bytes(4, "little")
    assert whole.count(sizes) == 1
    other = tmp_path / "other.ptd"
    other.write_bytes(whole.replace(sizes, sizes[:4] + sizes[8:] + sizes[4:8]))
    with pytest.raises(ProgramError, match=r"'linear\.weight' as \(8, 16\)"):
        PortableExecutor().load(program.path, [other])


def test_a_delegates_weights_come_from_a_data_file(
    exported: Callable[[str], Any], tmp_path: Path
) -> None:
    program = exported("linear")
    apart, weights = split(program.path, tmp_path)
    with pytest.raises(ProgramError, match=r"needs the weight .*linear.weight"):
        PortableExecutor().load(apart)
    executor = PortableExecutor()
    executor.load(apart, [weights])
    ((method, inputs, expected),) = program.calls
    assert difference(executor.call(method, inputs)[0], expected) < 1e-6


def test_one_name_in_two_files_is_refused(exported: Callable[[str], Any], tmp_path: Path) -> None:
    program = exported("linear")
    _, weights = split(program.path, tmp_path)
    with pytest.raises(ProgramError, match="again in another file"):
        PortableExecutor().load(program.path, [weights])


def split(path: Path, into: Path) -> tuple[Path, Path]:
    """The program without its named data, and that data as a `.ptd`, both by upstream's writer."""
    from executorch.exir._serialize._named_data_store import NamedDataStoreOutput
    from executorch.exir._serialize._program import deserialize_pte_binary, serialize_pte_binary
    from executorch.exir._serialize.data_serializer import DataPayload
    from executorch.extension.flat_tensor.serialize.serialize import FlatTensorSerializer

    from harness.upstream import flatc

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLATC_EXECUTABLE", flatc())
        pte = deserialize_pte_binary(path.read_bytes())
        named = pte.named_data
        assert isinstance(named, NamedDataStoreOutput)
        data = DataPayload(buffers=named.buffers, named_data=named.pte_data)
        (into / "apart.ptd").write_bytes(bytes(FlatTensorSerializer().serialize(data)))
        pte.named_data = None
        (into / "apart.pte").write_bytes(bytes(serialize_pte_binary(pte)))
    return into / "apart.pte", into / "apart.ptd"


@pytest.mark.parametrize("length", [0, 7, 47, 100, 400])
def test_a_truncated_data_file_is_refused(
    exported: Callable[[str], Any], tmp_path: Path, length: int
) -> None:
    program = exported("external")
    cut = tmp_path / "cut.ptd"
    cut.write_bytes(program.path.with_suffix(".ptd").read_bytes()[:length])
    with pytest.raises(ProgramError, match=r"cut\.ptd"):
        PortableExecutor().load(program.path, [cut])


def test_an_output_that_will_not_fit_is_refused_before_it_is_computed(
    exported: Callable[[str], Any],
) -> None:
    program = exported("shaped")
    executor = opened(program)
    method = executor.prepare("forward")
    (full,) = (
        c for c in method.plan.instructions if getattr(c, "operator", "") == "aten::full.out"
    )
    size = method.plan.values[full.args[0]]
    assert isinstance(size, IntList)
    initial = list(method.initial)
    initial[size.items[1]] = 2**40  # 20 TB of float32
    method.initial = initial
    message = r"aten::full.out: a tensor of shape \(5, 1099511627776\) is made, expected at most"
    with pytest.raises(ExecutionError, match=message):
        executor.call("forward", program.calls[0][1])


def ready(plan: Plan, initial: list[Any]) -> Method:
    return Method(plan, Any, {}, {"aten::neg.out": find_kernel("aten::neg.out")}, 2, initial)


def by_hand(*instructions: Any) -> Method:
    """A plan over an input and two tensors of two floats, with memory of their own."""
    values = (*(TensorValue(6, (2,), (0,), False, None) for _ in range(3)), True)
    plan = Plan("m", values, (0,), (2,), instructions, (), (0,))
    return ready(plan, [None, None, None, True])


def test_a_freed_value_is_gone() -> None:
    negated = KernelCall("aten::neg.out", (0, 1, 1)), KernelCall("aten::neg.out", (1, 2, 2))
    x = np.array([1.0, -2.0], np.float32)
    method = by_hand(*negated, FreeCall(1))
    assert np.array_equal(method.call([x], method.fresh())[0], x)
    method = by_hand(negated[0], FreeCall(1), negated[1])
    with pytest.raises(ExecutionError, match=r"instruction 2: op aten::neg.out: value 1 is read"):
        method.call([x], method.fresh())
    method = by_hand(*negated, FreeCall(2))
    with pytest.raises(ExecutionError, match="an output was never written"):
        method.call([x], method.fresh())


def test_a_moved_value_is_the_same_tensor() -> None:
    x = np.array([1.0, -2.0], np.float32)
    method = by_hand(KernelCall("aten::neg.out", (0, 1, 1)), MoveCall(1, 2))
    assert np.array_equal(method.call([x], method.fresh())[0], -x)


@pytest.mark.parametrize(
    "name",
    [
        "aten::from_file.out",
        "aten::no_such_op.out",
        "aten::add.Tensor",
        "torch::save",
        "executorch_prim::et_copy",
        "os::system",
    ],
)
def test_operators_that_no_runtime_has_are_refused(name: str) -> None:
    with pytest.raises(UnsupportedError, match=f"not supported here: op {name}"):
        find_kernel(name)


def test_a_library_that_cannot_be_loaded_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(kernels._REGISTERED_BY, "aten", ("harness.no_such_library",))
    with pytest.raises(UnavailableError, match=r"in harness\.no_such_library, which cannot be"):
        find_kernel("aten::no_such_op.out")
    assert find_kernel("aten::neg.out").operator == "aten::neg.out"


def test_a_kernel_may_not_write_to_a_constant() -> None:
    values = (TensorValue(6, (2,), (0,), False, bytes(8)), TensorValue(6, (2,), (0,), False, None))
    calls = (KernelCall("aten::neg.out", (1, 0, 0)),)
    plan = Plan("m", values, (1,), (0,), calls, (), (0,))
    constant = np.frombuffer(bytes(8), np.float32)
    method = ready(plan, [constant, None])
    with pytest.raises(ExecutionError, match="a constant would be overwritten"):
        method.call([np.ones(2, np.float32)], method.fresh())
