"""Products as GPUs of other regimes would form them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from harness.budget.regimes import BF16, EMULATED, EXACT, TF32
from harness.errors import InputError, UnsupportedError
from harness.fingerprint import Regime
from harness.runtime.portable import PortableExecutor
from harness.runtime.portable.blas import mx
from harness.runtime.portable.emulation import emulated
from harness.runtime.portable.interpreter import OPS
from harness.runtime.select import choose


@pytest.mark.parametrize(
    ("regime", "single", "narrow"),
    [("tf32", TF32, EXACT), ("bf16-accumulate", BF16, BF16), ("fp16-grid", TF32, EXACT)],
)
def test_canaries_recognise_an_emulated_regime(regime: str, single: str, narrow: str) -> None:
    measured = PortableExecutor(regime=regime).regime()

    assert measured.name == f"emulated-{regime}"
    assert measured.faults == ()
    for kind in ("matrix", "convolution", "quantised", "attention"):
        assert measured.products[f"{kind} float32"] == single
    assert measured.products["matrix bfloat16"] == narrow
    assert measured.products["sum float32"] == EXACT


@pytest.fixture
def run(run_node: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """As `run_node`, in the regime that is given first."""

    def emulating(regime: str, name: str, **given: Any) -> np.ndarray:
        monkeypatch.setitem(OPS, name, emulated(regime)[name])
        made = np.array(run_node(name, meant=False, **given))
        monkeypatch.undo()
        return made

    return emulating


def identity(rows: int = 4) -> np.ndarray:
    return np.eye(rows, dtype=np.float32)


def test_tf32_rounds_operands_to_eleven_bits_ties_to_even(run: Any) -> None:
    ulp = 2.0**-10
    operand = np.array([[1 + ulp / 2, 1 + 3 * ulp / 2, 1 + 0.51 * ulp, np.inf]] * 2, np.float32)
    made = run("tf32", "AddmmNode", mat1=operand[:, :3], mat2=identity(3))
    assert made[0].tolist() == [1, 1 + 2 * ulp, 1 + ulp]
    assert (
        run("tf32", "AddmmNode", mat1=operand[:, 3:], mat2=identity(1)).tolist() == [[np.inf]] * 2
    )


def test_tf32_leaves_single_rows_and_columns_alone(run: Any) -> None:
    x = np.full((1, 4), 1 + 2.0**-20, np.float32)
    assert run("tf32", "AddmmNode", mat1=x, mat2=identity()).tolist() == x.tolist()
    assert run("tf32", "AddmmNode", mat1=x[None], mat2=identity()).tolist() == [x.tolist()]
    assert run("tf32", "AddmmNode", mat1=identity(), mat2=x.T).tolist() == x.T.tolist()
    # Two batch rows are two rows of one product.
    assert run("tf32", "AddmmNode", mat1=np.stack([x, x]), mat2=identity()).max() == 1


def test_fp16_overflows_and_loses_small_numbers(run: Any) -> None:
    x = np.array([[1e6, 1e-9, 1 + 2.0**-11]], np.float32)
    made = run("fp16-grid", "AddmmNode", mat1=x.T, mat2=identity(1))
    assert made[:, 0].tolist() == [np.inf, 0, 1]


def test_sums_are_rounded_to_bfloat16_after_every_block(run: Any) -> None:
    # 256 and then 32 blocks of 1/2, each lost beside 256 in 8 bits.
    a = np.full((1, 33 * 32), 1 / 64, np.float32)
    a[0, :32] = 8
    ones = np.ones((33 * 32, 1), np.float32)
    assert (a @ ones).item() == 256 + 16
    assert run("bf16-accumulate", "AddmmNode", mat1=a, mat2=ones).item() == 256


def test_a_bias_is_added_with_its_factors(run: Any) -> None:
    given = {"mat1": identity(), "mat2": identity(), "bias": np.ones(4, np.float32)}
    made = run("tf32", "AddmmNode", alpha=2.0, beta=3.0, **given)
    assert made.tolist() == (2 * identity() + 3).tolist()


def test_a_result_has_the_type_of_its_operands(run_node: Any, monkeypatch: Any) -> None:
    for regime in EMULATED:
        monkeypatch.setitem(OPS, "AddmmNode", emulated(regime)["AddmmNode"])
        x = mx.array(identity()).astype(mx.bfloat16)
        assert run_node("AddmmNode", meant=False, mat1=x, mat2=x).dtype == mx.bfloat16


def test_grouped_queries_and_masks_are_attended_to(run: Any, run_node: Any) -> None:
    rng = np.random.default_rng(4)
    q = rng.standard_normal((1, 4, 12, 64)).astype(np.float32)
    k, v = rng.standard_normal((2, 1, 2, 16, 64)).astype(np.float32)
    mask = np.where(rng.random((1, 1, 12, 16)) < 0.5, 0, -np.inf).astype(np.float32)
    for options in ({}, {"causal": True}, {"mask": mask}, {"mask": mask == 0}):
        given = {"q": q, "k": k, "v": v, "scale": 0.125, **options}
        usual = np.array(run_node("SdpaNode", **given))
        made = run("tf32", "SdpaNode", **given)
        assert 1e-6 < np.abs(made - usual).max() < 4e-3


def test_few_queries_have_another_kernel_in_tf32_alone(run: Any, run_node: Any) -> None:
    rng = np.random.default_rng(4)
    q = rng.standard_normal((1, 4, 8, 64)).astype(np.float32)
    k, v = rng.standard_normal((2, 1, 2, 16, 64)).astype(np.float32)
    given = {"q": q, "k": k, "v": v, "scale": 0.125}
    usual = np.array(run_node("SdpaNode", **given))
    assert np.array_equal(run("tf32", "SdpaNode", **given), usual)
    assert not np.array_equal(run("fp16-grid", "SdpaNode", **given), usual)


@pytest.mark.parametrize("regime", EMULATED)
@pytest.mark.parametrize("case", ["linear", "convolutions", "attention", "quantized"])
def test_programs_run_and_differ_by_what_the_regime_rounds(
    regime: str, case: str, exported: Callable[[str], Any]
) -> None:
    program = exported(case)
    method, inputs, expected = program.calls[0]
    executor = PortableExecutor(regime=regime)
    executor.load(program.path)
    (output,) = executor.call(method, inputs)
    wide = [np.asarray(x).astype(ml_dtypes.bfloat16).astype(np.float64) for x in (output, expected)]
    assert output.dtype == expected.dtype
    assert np.abs(wide[0] - wide[1]).max() <= 0.03 * np.abs(wide[1]).max()


def test_a_product_that_is_not_emulated_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="GatherMmNode is not emulated in tf32"):
        emulated("tf32")["GatherMmNode"](type("GatherMmNode", (), {})(), None)


@pytest.mark.parametrize(
    ("name", "require", "regime", "message"),
    [
        ("native", None, "tf32", "by the executor portable alone (got native)"),
        ("auto", "portable:gpu", "tf32", "by the executor portable alone (got portable:gpu)"),
        ("portable:faithful", None, "tf32", "alone (got portable:faithful)"),
        ("portable", None, "tf23", "regime must be one of tf32, bf16-accumulate, fp16-grid"),
    ],
)
def test_only_portable_emulates(name: str, require: str | None, regime: str, message: str) -> None:
    with pytest.raises(InputError) as raised:
        choose(name, require, regime)
    assert message in str(raised.value)


@pytest.mark.parametrize("other", ["fast", "faithful", "gpu"])
def test_it_excludes_every_other_mode(other: str) -> None:
    with pytest.raises(InputError, match="one of fast, faithful, on a GPU and emulating one"):
        PortableExecutor(regime="tf32", **{other: True})


@pytest.mark.parametrize("regime", EMULATED)
@pytest.mark.parametrize("case", ["linear", "convolutions", "attention"])
def test_each_step_is_judged_by_the_unit_roundoff_of_its_regime(
    regime: str, case: str, exported: Callable[[str], Any]
) -> None:
    program = exported(case)
    method, inputs, _ = program.calls[0]
    shares = {}
    for name in ("as measured", "as if float32"):
        executor = PortableExecutor(regime=regime)
        if name == "as if float32":
            executor._measured = Regime(EXACT, {}, 1)
        executor.load(program.path)
        _, steps = executor.watch(method, inputs)
        shares[name] = max(step.error.worst for step in steps if step.error is not None)
    assert shares["as measured"] <= 1 < shares["as if float32"]
