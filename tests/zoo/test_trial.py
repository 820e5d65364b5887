"""What upstream's lowering gets wrong is found, what it gets right is right."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.zoo.families import casts, families, norms, shared
from harness.zoo.program import Program
from harness.zoo.trial import Verdict, shortened, tried
from harness.zoo.variations import programs

X = ("torch.rand((2, 3)) * 4 - 2",)


def program(call: str, inputs: tuple[str, ...] = X, target: str = "aten.abs.default") -> Program:
    return Program(target, "", call, inputs)


@pytest.mark.parametrize(
    ("target", "argument"),
    [("aten.sort.default", "descending=True"), ("aten.topk.default", "largest=False")],
)
def test_an_argument_that_the_handler_ignores_is_found_from_the_schema(
    target: str, argument: str
) -> None:
    made = programs(target, 60)
    changed = next(one for one in made if one.pattern == argument)
    result = tried(changed)
    assert result.stock.verdict is Verdict.WRONG
    assert "expected" in result.stock.detail
    assert result.corrected.verdict is Verdict.RIGHT
    assert result.cure == "descending"
    assert argument not in made[0].pattern
    assert tried(made[0]).stock.verdict is Verdict.RIGHT


def test_a_right_operator_is_right() -> None:
    result = tried(program("torch.ops.aten.abs.default(a)"))
    assert (result.stock.verdict, result.corrected.verdict) == (Verdict.RIGHT, Verdict.RIGHT)


def test_a_wrong_handler_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from harness.upstream import enable_mlx_exporter

    enable_mlx_exporter()
    from executorch.backends.mlx.builder.op_registry import REGISTRY

    aten = torch.ops.aten
    handlers = dict(REGISTRY._handlers)
    handlers[aten.abs.default] = handlers[aten.neg.default]
    monkeypatch.setattr(REGISTRY, "_handlers", handlers)
    result = tried(program("torch.ops.aten.abs.default(a)"))
    assert result.stock.verdict is Verdict.WRONG
    assert result.cure == ""


def test_a_value_that_only_the_executor_rounds_is_wrong_beside_eager() -> None:
    x = ("(torch.rand((4, 64)) * 4).to(torch.bfloat16)",)
    result = tried(program("torch.cumsum(a, -1, dtype=torch.float32)", x))
    assert result.stock.verdict is Verdict.WRONG
    assert "in float32" in result.stock.detail
    assert result.cure == "cumsum-type"


@pytest.mark.parametrize(
    ("call", "inputs", "verdict"),
    [
        ("torch.ops.aten.abs.default(a)", ("torch.rand((0, 3))",), Verdict.CANNOT_RUN),
        ("a.gather(1, b)", (*X, "torch.tensor([[1, 0], [2, 2]])"), Verdict.OUTSIDE),
        ("torch.special.gammaln(a)", X, Verdict.LACKS_KERNEL),
        ("torch.nonzero(a)[: int(a.sum())]", X, Verdict.NOT_EXPORTED),
    ],
    ids=["cannot run", "outside", "lacks a kernel", "cannot be exported"],
)
def test_every_other_end_has_its_name(call: str, inputs: tuple[str, ...], verdict: Verdict) -> None:
    assert tried(program(call, inputs)).stock.verdict is verdict


@pytest.mark.parametrize(
    ("family", "pattern", "cure"),
    [
        (casts, "float32 → int64 → float32", "lossy-casts"),
        pytest.param(norms, "mean(1), weight (4,)", "false-norms", marks=pytest.mark.slow),
        pytest.param(norms, "square of another", "false-norms", marks=pytest.mark.slow),
        pytest.param(
            shared, "conv1d and conv_transpose1d", "shared-weight", marks=pytest.mark.slow
        ),
    ],
)
def test_the_forms_that_passes_spoil_are_found(family: object, pattern: str, cure: str) -> None:
    made = [one for one in families() if one.pattern == pattern]
    result = tried(made[0])
    assert result.stock.verdict is Verdict.WRONG
    assert result.cure == cure


@pytest.mark.parametrize(
    ("pattern", "verdict", "cure"),
    [
        ("float32 → bfloat16 → float32", Verdict.WRONG, "lossy-casts"),
        pytest.param(
            "twice across a partition",
            Verdict.CANNOT_RUN,
            "shared-parameter",
            marks=pytest.mark.slow,
        ),
        ("None", Verdict.NOT_LOWERED, "constant-input"),
        pytest.param("a bool", Verdict.NOT_LOWERED, "constant-input", marks=pytest.mark.slow),
        ("eps of None, bfloat16, rank 2, weight", Verdict.WRONG, "norm-eps"),
    ],
)
def test_the_other_kinds_are_found(pattern: str, verdict: Verdict, cure: str) -> None:
    (made,) = (one for one in families() if one.pattern == pattern)
    result = tried(made)
    assert (result.stock.verdict, result.cure) == (verdict, cure)


def test_only_the_programs_own_refusal_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.errors import ExecutionError, HarnessError, MachineError, UnsupportedError
    from harness.runtime.portable.executor import PortableExecutor

    def refusing(error: Exception) -> Verdict:
        def watch(self: object, method: str, inputs: object) -> None:
            raise error

        monkeypatch.setattr(PortableExecutor, "watch", watch)
        return tried(program("torch.ops.aten.abs.default(a)")).stock.verdict

    assert refusing(ExecutionError("no")) is Verdict.CANNOT_RUN
    for kind in (UnsupportedError, MachineError, HarnessError, KeyError):
        assert refusing(kind("no")) is Verdict.NOT_JUDGED


def test_where_the_runtime_is_off_the_local_link_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.runtime.portable.blas import mx
    from harness.runtime.portable.interpreter import OPS

    monkeypatch.setitem(OPS, "TanhNode", lambda n, s: mx.tanh(s.tensor(n.x)) * (1 + 3e-6))
    result = tried(program("torch.ops.aten.tanh.default(a)"))
    assert result.stock.verdict is Verdict.NOT_JUDGED
    assert "the runtime's TanhNode" in result.stock.detail


def test_a_program_is_known_by_what_it_computes() -> None:
    one = program("torch.ops.aten.abs.default(a)")
    assert one.key == replace(one, pattern="other").key
    assert one.key != replace(one, inputs=("torch.rand((2, 4))",)).key


@pytest.mark.parametrize("folder", ["zoo/lib/python3.11/", "me/.nox/zoo/lib/python3.12/"])
def test_what_is_told_does_not_depend_on_where_the_packages_are(folder: str) -> None:
    whole = f"no (/home/{folder}site-packages/torch/a.py:3)  at 0x7f3a"
    assert shortened(whole) == "no (torch/a.py:3) at 0x…"
    cut = f"Caused by: ({folder}site- … ({1000 + len(folder):,} characters) … is error"
    assert shortened(cut) == "Caused by: … is error"
