"""Each upstream lowering bug on a minimal case: stock is wrong, the correction is right.

Stock is wrong in three ways: other values, a program that cannot run, and an operator that it
leaves outside the delegate; each case names its own. `test_stock_is_still_wrong` fails on the day
upstream mends a bug, or makes another of it; then its correction can go, or must be looked at.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch

from harness.errors import ExecutionError, InputError, ProgramError
from harness.export.corrections import CORRECTIONS, applied, corrected, corrections
from harness.export.lower import lower_to_mlx
from harness.pte.coverage import delegation
from harness.runtime.portable import PortableExecutor
from harness.upstream import enable_mlx_exporter
from tests.export.minimal import (
    OUTSIDE,
    RIGHT,
    WRONG,
    LeftOutside,
    Minimal,
    NotLoaded,
    NotLowered,
    Of,
    Refused,
)


def lowered(tmp_path, function, inputs, without=(), passes=False) -> Path:
    enable_mlx_exporter()
    program = torch.export.export(Of(function).eval(), inputs)
    path = tmp_path / "minimal.pte"
    lower_to_mlx({"forward": program}, {}, path, without=without, passes=passes)
    return path


def run(path: Path, inputs) -> np.ndarray:
    executor = PortableExecutor()
    executor.load(path)
    (output,) = executor.call("forward", [as_numpy(x) for x in inputs])
    return output


def as_numpy(x: Any) -> np.ndarray:
    if not isinstance(x, torch.Tensor):
        return np.asarray(x)
    if x.dtype == torch.bfloat16:
        return x.float().numpy().astype(ml_dtypes.bfloat16)
    return x.numpy()


@pytest.mark.parametrize("case", WRONG, ids=lambda case: case.correction)
def test_corrected_equals_eager(case: Minimal, tmp_path) -> None:
    expected = case.function(*case.inputs).numpy()

    path = lowered(tmp_path, case.function, case.inputs, passes=case.passes)
    output = run(path, case.inputs)

    (method,) = delegation(path)
    if case.correction not in OUTSIDE:
        assert method.kernel_calls == ()
    assert output.dtype == expected.dtype
    np.testing.assert_array_equal(output, expected)


@pytest.mark.parametrize("case", WRONG, ids=lambda case: case.correction)
def test_stock_is_still_wrong(case: Minimal, tmp_path) -> None:
    expected = case.function(*case.inputs).numpy()
    given = (case.function, case.inputs, (case.correction,), case.passes)
    if isinstance(case.wrong, NotLowered):
        with pytest.raises(NotImplementedError, match=case.wrong.reason):
            lowered(tmp_path, *given)
        return

    path = lowered(tmp_path, *given)

    if isinstance(case.wrong, LeftOutside):
        (method,) = delegation(path)
        assert case.wrong.operator in method.kernel_calls
    elif isinstance(case.wrong, Refused | NotLoaded):
        kind = ExecutionError if isinstance(case.wrong, Refused) else ProgramError
        with pytest.raises(kind, match=case.wrong.reason):
            run(path, case.inputs)
    else:
        output = run(path, case.inputs)
        assert output.shape == expected.shape
        assert np.count_nonzero(output != expected) == case.wrong.elements


@pytest.mark.parametrize(("function", "inputs"), [c[1:] for c in RIGHT], ids=[c[0] for c in RIGHT])
def test_neighbouring_forms_stay_right(function, inputs, tmp_path) -> None:
    output = run(lowered(tmp_path, function, inputs), inputs)

    np.testing.assert_array_equal(output, function(*inputs).numpy())


def test_every_correction_has_a_minimal_case() -> None:
    assert {case.correction for case in WRONG} == {c.name for c in CORRECTIONS}


def test_stock_handlers_come_back() -> None:
    enable_mlx_exporter()
    from executorch.backends.mlx import ops  # noqa: F401
    from executorch.backends.mlx.builder.op_registry import REGISTRY
    from executorch.backends.mlx.builder.program_builder import MLXProgramBuilder

    before = dict(REGISTRY._handlers), MLXProgramBuilder.make_or_get_constant
    with applied():
        assert dict(REGISTRY._handlers) != before[0]

    assert (dict(REGISTRY._handlers), MLXProgramBuilder.make_or_get_constant) == before


def test_unknown_correction_is_refused() -> None:
    with pytest.raises(InputError, match=r"adjacent-indices, index-rank.*got 'typo'"):
        applied(["typo"]).__enter__()


def test_anybody_can_correct_an_export_and_stock_comes_back(tmp_path) -> None:
    """As a stranger writes it, with upstream's own function."""

    class Picks(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x[:, torch.tensor([[0, 1], [2, 1]]), torch.tensor([[1], [0]])]

    inputs = (torch.arange(60.0).reshape(3, 4, 5),)

    def export(name: str) -> Any:
        from executorch.backends.mlx import MLXPartitioner
        from executorch.exir import EdgeCompileConfig, to_edge_transform_and_lower

        edge = to_edge_transform_and_lower(
            torch.export.export(Picks(), inputs),
            partitioner=[MLXPartitioner()],
            compile_config=EdgeCompileConfig(_check_ir_validity=False, _skip_dim_order=True),
        )
        path = tmp_path / name
        path.write_bytes(edge.to_executorch().buffer)
        return run(path, inputs)

    meant = Picks()(*inputs).numpy()
    with corrected():
        assert np.array_equal(export("corrected.pte"), meant)
    assert not np.array_equal(export("stock.pte"), meant)
    with corrected(without=["adjacent-indices"]):
        assert not np.array_equal(export("left-out.pte"), meant)


def test_each_correction_says_what_it_cures() -> None:
    told = corrections()
    assert list(told) == [correction.name for correction in CORRECTIONS]
    assert all(len(sentence) > 20 for sentence in told.values())


def test_an_unknown_correction_is_refused() -> None:
    with pytest.raises(InputError, match="correction must be one of"), corrected(without=["typo"]):
        pass
