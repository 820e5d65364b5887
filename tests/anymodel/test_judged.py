"""Any module in, verdicts out: green where the program is the module, red where it is not."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim

from fixtures.models import STOCK, Mlp, judged, some, troubles, verdict
from harness.anymodel import Call, Ignored, Model, write_repros
from harness.anymodel.capturing import judge_capture
from harness.anymodel.judging import method_of
from harness.anymodel.recording import record
from harness.anymodel.tracing import trace
from harness.budget import COMMITTED
from harness.compare import Status
from harness.errors import InputError
from harness.localize.graph import Graph
from harness.runtime.portable.blas import mx


class Sorted(nn.Module):
    def forward(self, x: Tensor) -> dict[str, Tensor]:
        values, indices = torch.sort(x, descending=True)
        return {"values": values, "indices": indices}


class Cache(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("rows", torch.zeros(4, 8))

    def forward(self, x: Tensor, position: Tensor, *, scale: float = 1.0) -> tuple[Tensor, Tensor]:
        self.rows.index_copy_(0, position, x * scale)
        return self.rows.sum(0), torch.softmax(x @ self.rows.T, -1)


@pytest.mark.parametrize("precision", [None, "bf16", "bf16-4w8w"])
def test_a_right_program_passes_every_check(precision: str | None) -> None:
    found = judged(Model(Mlp(), (some(2, 32),)), precision=precision)
    assert troubles(found) == []
    cases = [v.case for v in found.verdicts]
    assert cases == ["delegation", "torch.export", "in float64", "each step", "example"]
    assert found.report.precision == (precision or "fp32")
    assert found.exit_code == 0


def test_a_wrong_lowering_names_owner_operator_and_line(tmp_path: Path) -> None:
    found = judged(Model(Sorted(), (some(3, 5),)), **STOCK)
    link = verdict(found, "in float64")
    assert link.status is Status.FAIL
    assert link.metrics["operator"] == "aten.sort.default"
    assert link.metrics["owner"] == "the lowering"
    assert "test_judged.py" in link.metrics["source"]
    assert link.metrics["proved by replacement"]
    assert verdict(found, "each step").status is Status.PASS  # what ran is what was lowered
    assert verdict(found, "example, output values").status is Status.FAIL
    assert verdict(found, "example, output indices").status is Status.FAIL
    scripts = {path.name for path in write_repros(found, tmp_path)}
    assert scripts == {"repro_sort.py", "op_test_sort.py"}
    assert "descending" not in (tmp_path / "repro_sort.py").read_text()
    assert "sort.default(a, -1, True)" in (tmp_path / "repro_sort.py").read_text()


def test_a_left_out_correction_is_named() -> None:
    class Picks(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x[:, torch.tensor([[0, 1], [2, 1]]), torch.tensor([[1], [0]])]

    model = Model(Picks(), (some(3, 4, 5),))
    found = judged(model, without=("adjacent-indices",))
    assert verdict(found, "in float64").metrics["correction"] == "adjacent-indices"
    assert troubles(judged(model)) == []


def test_a_type_that_the_lowering_ignores_is_named_where_both_links_hold() -> None:
    class Sums(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.cumsum(x, -1, dtype=torch.float32)

    found = judged(Model(Sums(), (some(3, 64).bfloat16(),)), without=("cumsum-type",))
    assert verdict(found, "in float64").status is Status.PASS
    assert verdict(found, "each step").status is Status.PASS
    wrong = verdict(found, "example")
    assert wrong.status is Status.FAIL
    assert wrong.metrics["operator"] == "aten.cumsum.default"
    assert wrong.metrics["op"] == "works in bfloat16, meant is float32"


def test_what_lowers_and_cannot_run_names_the_operator() -> None:
    class Product(nn.Module):
        def forward(self, i: Tensor) -> Tensor:
            return i @ i.T

    model = Model(Product(), (torch.arange(6).reshape(2, 3),))
    found = judged(model, without=("unsupported-forms",))
    wrong = verdict(found, "example")
    assert wrong.status is Status.FAIL
    assert "does not run" in wrong.summary
    assert wrong.metrics["operator"] == "aten.matmul.default"


def test_the_path_of_the_module_is_the_models_own() -> None:
    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Sorted()

        def forward(self, x: Tensor) -> Tensor:
            return self.inner(x * 2)["values"]

    found = judged(Model(Outer(), (some(3, 5),)), **STOCK)
    assert verdict(found, "in float64").metrics["module"] == "inner"


def test_calls_in_sequence_share_the_state() -> None:
    first = Call(some(1, 8), torch.tensor([1]), scale=0.5)
    second = Call(some(1, 8) + 1, torch.tensor([2]), scale=0.5)
    found = judged(Model(Cache(), first.args, first.kwargs, calls=[second]))
    assert troubles(found) == []


def test_each_case_begins_in_the_first_state() -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("rows", torch.zeros(4, 8))
            self.register_buffer("count", torch.zeros(1, dtype=torch.int64))

        def forward(self, x: Tensor) -> Tensor:
            self.count.add_(1)
            self.rows.add_(x)
            return self.rows * self.count

    call = Call(some(4, 8))
    traced = trace(Model(Counting(), call.args, calls=[call], examples=[call]))
    recorded = record(traced)
    assert recorded.captured == (0.0, 0.0)
    assert recorded.twin == "module"
    assert {float(buffer.abs().sum()) for buffer in traced.program.state_dict.values()} == {0.0}
    for _ in range(2):  # nor does the graph in float64 leave anything
        (made,) = Graph(traced.program).outputs(recorded.cases[0].inputs[0])
        assert np.array_equal(made, recorded.cases[0].exact[0][0])


def test_a_state_that_is_not_kept_is_red() -> None:
    class Counter(nn.Module):
        """Begins at what MLX does not begin at: its buffers start from zero."""

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("total", torch.ones(4))

        def forward(self, x: Tensor) -> Tensor:
            self.total.add_(x)
            return self.total * 2

    found = judged(Model(Counter(), (some(4),)))
    assert verdict(found, "in float64").status is Status.FAIL
    assert verdict(found, "example").status is Status.FAIL


def test_dynamic_shapes_are_judged_at_several() -> None:
    model = Model(
        Mlp(),
        (some(4, 32),),
        examples=[(some(1, 32),), Call(some(7, 32))],
        dynamic_shapes={"x": {0: Dim("rows", min=1, max=8)}},
    )
    found = judged(model)
    assert troubles(found) == []
    assert {"example", "example 2", "example 3"} <= {v.case for v in found.verdicts}


def test_an_exported_program_and_a_file_of_it(tmp_path: Path) -> None:
    program = torch.export.export(Mlp().eval(), (some(2, 32),))
    assert troubles(judged(Model(program, (some(2, 32),), name="Mlp"))) == []

    from harness.export.lower import lower_to_mlx

    path = tmp_path / "mine.pte"
    lower_to_mlx({"forward": program}, {}, path)
    assert troubles(judged(Model(Mlp(), (some(2, 32),), pte=path))) == []

    class Other(Mlp):
        def forward(self, x: Tensor) -> Tensor:
            return self.down(nn.functional.gelu(self.up(x)))

    found = judged(Model(Other(), (some(2, 32),), pte=path))
    assert verdict(found, "in float64").status is Status.FAIL


def test_of_a_given_program_no_comparison_with_a_module_is_claimed() -> None:
    program = torch.export.export(Mlp().eval(), (some(2, 32),))
    found = judged(Model(program, (some(2, 32),)))
    assert "torch.export" not in {v.case for v in found.verdicts}
    recorded = record(trace(Model(program, (some(2, 32),))))
    doubtful = dataclasses.replace(recorded, captured=(0.2, 0.0))
    (told,) = judge_capture(method_of(Model(program)), doubtful, COMMITTED.exact)
    assert told.status is Status.UNJUDGED


def test_an_input_that_is_changed_is_compared_too() -> None:
    class Adds(nn.Module):
        def forward(self, x: Tensor, cache: Tensor) -> Tensor:
            cache.add_(x)
            return cache * 2

    found = judged(Model(Adds(), (some(2, 4), some(2, 4)), partial=True))  # copied back outside
    assert troubles(found) == []
    assert "example, input 1 as it was left" in {v.case for v in found.verdicts}


def test_a_single_number_is_judged() -> None:
    class Total(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.sum()

    assert troubles(judged(Model(Total(), (some(4, 4),)))) == []


def test_code_that_asks_for_its_type_is_meant_as_it_was_traced() -> None:
    class Finest(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * (1 + torch.finfo(x.dtype).eps * 1e4)

    found = judged(Model(Finest(), (some(4, 4),)))
    assert troubles(found) == []
    assert "asks for its type" in verdict(found, "torch.export").notes[0]


class Partly(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.elu(x) + x


def test_operators_outside_the_delegate_are_named_and_may_be_allowed() -> None:
    found = judged(Model(Partly(), (some(4, 4),)))
    assert "aten::elu.out" in verdict(found, "delegation").summary
    assert found.exit_code == 1
    assert troubles(judged(Model(Partly(), (some(4, 4),), partial=True))) == []


def test_a_kernel_that_the_runtime_lacks_is_never_allowed() -> None:
    class Doubling(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.cumprod(x, -1) + x

    found = judged(Model(Doubling(), (some(4, 4),), partial=True))
    delegated = verdict(found, "delegation")
    assert delegated.status is Status.FAIL
    assert "no kernel aten::cumprod.out" in " ".join(delegated.notes)


def test_what_cannot_be_lowered_fails() -> None:

    class Flagged(nn.Module):
        def forward(self, x: Tensor, flag: bool = True) -> Tensor:
            return x * 2

    program = torch.export.export(Flagged(), (some(2, 3),), {"flag": True})
    model = Model(program, (some(2, 3),), {"flag": True})
    (only,) = judged(model, without=("constant-input",)).verdicts
    assert only.status is Status.FAIL
    assert "cannot be lowered to MLX" in only.summary


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Model(Mlp(), some(2, 32)), "args must be a tuple"),
        (lambda: Model(Mlp(), (some(2, 32),), pte="absent.pte"), "absent.pte does not exist"),
        (lambda: Model("x", (some(2, 32),)), "the module must be a torch.nn.Module"),
        (lambda: Model(Mlp(), (some(2, 31),)), "Mlp"),
        (lambda: Model(torch.export.export(Mlp(), (some(2, 32),)), (some(2, 32),),
                       dynamic_shapes={"x": None}), "leave dynamic_shapes out"),
        (lambda: Model(Mlp(), (some(2, 32),), examples=[(some(2, 32), 3)]), "arguments of"),
        (lambda: Model(Mlp(), (some(2, 32),), examples=[some(2, 32)]), "a call must be"),
        (
            lambda: Model(Mlp(), (some(2, 32),), dynamic_shapes={"y": None}),
            "dynamic_shapes must name",
        ),
        (
            lambda: Model(Mlp(), (some(2, 32),), ignored=[Ignored(torch.ones(3, 3), "x")]),
            "must be boolean",
        ),
        (
            lambda: Model(Mlp(), (some(2, 32),), ignored=[Ignored(np.ones((3, 3), bool), "x")]),
            "does not broadcast",
        ),
        (
            lambda: Model(Cache(), (some(1, 8), torch.tensor([0])), {"scale": 1.0},
                          calls=[Call(some(1, 8), torch.tensor([0]), scale=2.0)]),
            "becomes a constant",
        ),
    ],
)  # fmt: skip
def test_bad_input_is_one_sentence(make: Callable[[], Model], told: str) -> None:
    with pytest.raises(InputError, match=told):
        judged(make())


def test_a_random_model_cannot_be_judged() -> None:
    class Noise(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + torch.rand_like(x)

    with pytest.raises(InputError, match="something else of the same call"):
        judged(Model(Noise(), (some(4, 4),)))


def test_the_second_export_comes_from_the_cache() -> None:
    model = Model(Mlp(), (some(3, 32),))
    judged(model)
    (artifact,) = judged(model).report.artifacts
    assert artifact.origin == "cached"
    mx.clear_cache()
