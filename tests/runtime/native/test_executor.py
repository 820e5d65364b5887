from __future__ import annotations

import os
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import torch

from harness.errors import ExecutionError, InputError, ProgramError, UnavailableError
from harness.runtime.native import NativeExecutor, available
from harness.runtime.protocol import TensorSpec

ONES = np.ones(4, np.float32)


@pytest.fixture
def portable(runtime: NativeExecutor, programs: Path) -> NativeExecutor:
    runtime.load(programs / "portable.pte")
    return runtime


@pytest.fixture(params=["xnnpack", "portable"])
def either(
    runtime: NativeExecutor, programs: Path, request: pytest.FixtureRequest
) -> NativeExecutor:
    runtime.load(programs / f"{request.param}.pte")
    return runtime


@pytest.fixture(params=["portable", "shared"])
def planned(
    runtime: NativeExecutor, programs: Path, request: pytest.FixtureRequest
) -> NativeExecutor:
    runtime.load(programs / f"{request.param}.pte")
    return runtime


def test_lists_methods_and_constant_methods(portable: NativeExecutor) -> None:
    assert set(portable.methods()) == {
        "dense", "gate", "total", "again", "waves", "half", "shift", "lookup",
        "sample_rate", "streaming", "voice", "guidance",
    }  # fmt: skip


def test_describes_inputs(portable: NativeExecutor) -> None:
    assert portable.inputs("dense") == (TensorSpec("float32", (8, 4), dynamic=True),)
    assert portable.inputs("total") == (TensorSpec("float32", (4,)),)
    assert portable.inputs("half") == (TensorSpec("bfloat16", (4,)),)
    assert portable.inputs("lookup") == (TensorSpec("int64", (1, 3)),)
    assert portable.inputs("shift") == (
        TensorSpec("float32", (2,)), TensorSpec("int64", (), value=3),
    )  # fmt: skip
    assert portable.inputs("sample_rate") == ()


@pytest.mark.parametrize("rows", [1, 2, 8])
def test_equals_eager_at_every_dynamic_size(either: NativeExecutor, rows: int) -> None:
    x = np.linspace(-3, 3, rows * 4, dtype=np.float32).reshape(rows, 4)
    (output,) = either.call("gate", [x])
    assert output.shape == (rows, 4)
    # A few float32 roundings of values up to 3, with XNNPACK's own sigmoid.
    np.testing.assert_allclose(output, x / (1 + np.exp(-x)), rtol=0, atol=2e-6)


def test_weights_come_from_the_file(portable: NativeExecutor) -> None:
    torch.manual_seed(0)
    linear = torch.nn.Linear(4, 3)
    x = torch.linspace(-2, 2, 8).reshape(2, 4)
    (output,) = portable.call("dense", [x.numpy()])
    expected = torch.nn.functional.gelu(linear(x)).detach().numpy()
    # A few float32 roundings of values up to 1.
    np.testing.assert_allclose(output, expected, rtol=0, atol=1e-6)


def test_integer_inputs_and_float_outputs(portable: NativeExecutor) -> None:
    (rows,) = portable.call("lookup", [np.array([[5, 0, 2]])])
    assert rows.tolist() == [[[10, 11], [0, 1], [4, 5]]]


def test_bfloat16_in_and_out(portable: NativeExecutor) -> None:
    x = np.array([0.5, -1.25, 2.0, 0.0], ml_dtypes.bfloat16)
    (output,) = portable.call("half", [x])
    assert output.dtype == ml_dtypes.bfloat16
    expected = np.sin(2 * np.exp(np.cos(np.sin(x.astype(np.float64)))))
    # Five operations, each rounded to bfloat16's 8 bits; the last sine's argument is up to 5.4.
    np.testing.assert_allclose(output.astype(np.float64), expected, rtol=0, atol=0.05)


def test_a_plain_number_is_a_0d_input(portable: NativeExecutor) -> None:
    (output,) = portable.call("shift", [np.array([1, 2], np.float32), np.array(3)])
    assert output.tolist() == [4, 5]


def test_constant_methods_are_0d_arrays(either: NativeExecutor) -> None:
    values = {name: either.call(name, []) for name in ("sample_rate", "streaming", "voice")}
    assert {name: value.item() for name, (value,) in values.items()} == {
        "sample_rate": 24000,
        "streaming": True,
        "voice": "ada",
    }
    (guidance,) = either.call("guidance", [])
    assert (guidance.shape, guidance.dtype, float(guidance)) == ((), np.float64, 1.5)


def test_outputs_are_copies(portable: NativeExecutor) -> None:
    (first,) = portable.call("total", [ONES])
    first[:] = 99
    (second,) = portable.call("total", [ONES])
    assert first.tolist() == [99] * 4
    assert second.tolist() == [2] * 4


def test_a_state_keeps_its_buffers(either: NativeExecutor) -> None:
    assert either.call("total", [ONES])[0].tolist() == [1] * 4
    assert either.call("total", [2 * ONES])[0].tolist() == [3] * 4


def test_states_do_not_see_each_other(either: NativeExecutor) -> None:
    either.call("total", [ONES], state="conditional")
    either.call("total", [ONES], state="conditional")
    assert either.call("total", [ONES], state="other")[0].tolist() == [1] * 4
    assert either.call("total", [ONES], state="conditional")[0].tolist() == [3] * 4


def test_other_methods_do_not_overwrite_a_state(planned: NativeExecutor) -> None:
    planned.call("total", [ONES])
    planned.call("waves", [np.ones(256, np.float32)])
    assert planned.call("total", [ONES])[0].tolist() == [2] * 4


def test_methods_have_a_buffer_in_common_only_where_exported_so(
    runtime: NativeExecutor, programs: Path
) -> None:
    seen = {}
    for name in ("portable", "shared"):
        runtime.load(programs / f"{name}.pte")
        runtime.call("total", [ONES])
        seen[name] = runtime.call("again", [ONES])[0].tolist()
    assert seen == {"portable": [1] * 4, "shared": [2] * 4}


def test_reset_zeroes_one_state(either: NativeExecutor) -> None:
    either.call("total", [ONES], state="a")
    either.call("total", [ONES], state="b")
    either.reset("a")
    assert either.call("total", [ONES], state="a")[0].tolist() == [1] * 4
    assert either.call("total", [ONES], state="b")[0].tolist() == [2] * 4


def test_loading_forgets_all_states(runtime: NativeExecutor, programs: Path) -> None:
    runtime.load(programs / "portable.pte")
    runtime.call("total", [ONES])
    runtime.load(programs / "portable.pte")
    assert runtime.call("total", [ONES])[0].tolist() == [1] * 4


@pytest.mark.parametrize(
    ("method", "inputs", "message"),
    [
        ("total", [], r"total takes 1 inputs \(got 0\)"),
        ("total", [ONES, ONES], r"total takes 1 inputs \(got 2\)"),
        ("total", [np.ones(4)], r"input 0 of total must be float32 \(got float64\)"),
        ("total", [np.ones(4, ">f4")], r"input 0 of total must be float32 \(got >f4\)"),
        ("half", [ONES], r"input 0 of half must be bfloat16 \(got float32\)"),
        ("total", [np.ones(5, np.float32)], r"must have shape \(4,\) \(got \(5,\)\)"),
        ("total", [np.ones((1, 4), np.float32)], r"must have shape \(4,\) \(got \(1, 4\)\)"),
        ("dense", [np.ones((9, 4), np.float32)], r"shape at most \(8, 4\) \(got \(9, 4\)\)"),
        ("absent", [], r"method must be one of .*total.* \(got 'absent'\)"),
    ],
)
def test_refuses_wrong_inputs(
    portable: NativeExecutor, method: str, inputs: list[np.ndarray], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        portable.call(method, inputs)


def test_a_call_before_any_load_is_refused() -> None:
    with pytest.raises(InputError, match="no program is loaded"):
        NativeExecutor().call("dense", [])


def test_a_refusal_of_the_runtime_quotes_its_log(portable: NativeExecutor) -> None:
    # 3 columns are within the bound of 4, yet the weight has 4.
    with pytest.raises(ExecutionError) as refusal:
        portable.call("dense", [np.ones((2, 3), np.float32)])
    assert "dense failed in ExecuTorch's runtime" in str(refusal.value)
    assert "a.size(1) = 3 does not match b.size(0) = 4" in str(refusal.value)
    assert "\0" not in str(refusal.value)


def test_a_log_tail_holds_nothing_of_earlier_calls(portable: NativeExecutor) -> None:
    for columns in (3, 2):
        with pytest.raises(ExecutionError) as refusal:
            portable.call("dense", [np.ones((2, columns), np.float32)])
    assert "a.size(1) = 2" in str(refusal.value)
    assert "a.size(1) = 3" not in str(refusal.value)


def test_a_refusal_leaves_the_child_usable(portable: NativeExecutor) -> None:
    portable.call("total", [ONES])
    with pytest.raises(ExecutionError):
        portable.call("dense", [np.ones((2, 3), np.float32)])
    assert portable.call("total", [ONES])[0].tolist() == [2] * 4


def test_a_missing_file_is_a_program_error(runtime: NativeExecutor, tmp_path: Path) -> None:
    with pytest.raises(ProgramError, match=r"absent\.pte is not a file"):
        runtime.load(tmp_path / "absent.pte")


@pytest.mark.parametrize("kept", [0, 3, 8, 20, 64, 500, 2000, 0.5, 0.9, 0.99])
def test_a_truncated_file_is_a_program_error(
    runtime: NativeExecutor, programs: Path, tmp_path: Path, kept: float
) -> None:
    whole = (programs / "xnnpack.pte").read_bytes()
    length = kept if isinstance(kept, int) else int(kept * len(whole))
    (tmp_path / "cut.pte").write_bytes(whole[:length])
    with pytest.raises(ProgramError, match=r"cut\.pte"):
        runtime.load(tmp_path / "cut.pte")
    assert runtime.methods() == ()


def test_a_file_replaced_after_loading_is_noticed(
    runtime: NativeExecutor, programs: Path, tmp_path: Path
) -> None:
    path = tmp_path / "model.pte"
    path.write_bytes((programs / "portable.pte").read_bytes())
    runtime.load(path)
    path.write_bytes((programs / "xnnpack.pte").read_bytes())
    with pytest.raises(ProgramError, match="has changed since it was loaded"):
        runtime.call("total", [ONES])


@pytest.mark.skipif(available(), reason="this machine has the MLX backend")
def test_an_mlx_program_without_the_backend_is_unavailable(
    runtime: NativeExecutor, programs: Path
) -> None:
    with pytest.raises(UnavailableError, match=r"needs MLXBackend.*found: .*XnnpackBackend.*macOS"):
        runtime.load(programs / "mlx.pte")


@pytest.mark.skipif(not available(), reason="needs the MLX backend (macOS on Apple Silicon)")
def test_an_mlx_program_equals_eager(runtime: NativeExecutor, programs: Path) -> None:
    torch.manual_seed(0)
    linear = torch.nn.Linear(4, 3)
    x = torch.linspace(-2, 2, 4).reshape(1, 4)
    runtime.load(programs / "mlx.pte")
    (output,) = runtime.call("dense", [x.numpy()])
    expected = torch.nn.functional.gelu(linear(x)).detach().numpy()
    np.testing.assert_allclose(output, expected, rtol=0, atol=1e-5)


def test_fingerprint_says_what_ran(portable: NativeExecutor) -> None:
    fingerprint = portable.fingerprint
    assert fingerprint.executor == "native"
    assert fingerprint.device
    assert {"executorch", "torch", "python"} <= set(fingerprint.versions)
    assert any("XnnpackBackend" in note for note in fingerprint.notes)


def test_runs_in_another_process(portable: NativeExecutor) -> None:
    assert portable.pid not in (None, os.getpid())
