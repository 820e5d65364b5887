"""Whatever is broken turns the verdict of the right method red."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from fixtures.exports import Line as Parity
from harness.arrays import Array
from harness.compare import Status
from harness.errors import ExecutionError
from harness.methods import METHODS, Method, select_methods
from harness.parity.evidence import SPEECH, Evidence
from harness.parity.judge import judge_delegation, judge_evidence, judge_steps
from harness.pte.coverage import MethodDelegation
from harness.runtime.protocol import Executor

Damage = Callable[[Array], Array]


class Damaged:
    """An executor whose inputs or outputs are tampered with on call number `at` and after."""

    def __init__(
        self,
        executor: Executor,
        output: Damage = lambda y: y,
        inputs: Callable[[Sequence[Array]], Sequence[Array]] = lambda x: x,
        at: int = 0,
        only: bool = False,
    ) -> None:
        self.executor, self.output, self.inputs, self.at, self.only = (
            executor, output, inputs, at, only,
        )  # fmt: skip
        self.count = -1

    def reset(self, state: str = "default") -> None:
        self.executor.reset(state)

    def call(self, method: str, inputs: Sequence[Array], *, state: str = "default") -> list[Array]:
        self.count += 1
        if self.count < self.at or (self.only and self.count > self.at):
            return self.executor.call(method, inputs, state=state)
        (y,) = self.executor.call(method, self.inputs(inputs), state=state)
        return [self.output(y.copy())]


def with_nan(y: Array) -> Array:
    y.flat[y.size // 2] = np.nan
    return y


def one_element_off(y: Array) -> Array:
    finite = np.flatnonzero(np.isfinite(y))
    y.flat[finite[len(finite) // 2]] += 1e-3 * np.abs(y.flat[finite]).max()
    return y


def swapped_halves(y: Array) -> Array:
    return np.roll(y, y.shape[-1] // 2, axis=-1)


DAMAGES: dict[str, Damage] = {
    "halved gain": lambda y: y * y.dtype.type(0.5),
    "gain off by 1e-4": lambda y: y * y.dtype.type(1.0001),
    "NaN in one output": with_nan,
    "one element off by a thousandth": one_element_off,
    "swapped halves": swapped_halves,
    "silence": np.zeros_like,
    "another type": lambda y: y.astype(np.float64),
    "another shape": lambda y: y[..., :-1],
}


def speech(parity: Parity, name: str) -> tuple[Method, Evidence]:
    (method,) = select_methods([name])
    evidence = next(e for e in parity.evidence(method) if e.case.label == SPEECH)
    return method, evidence


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_damaged_output_fails(method: Method, damage: str, parity: Parity) -> None:
    _, evidence = speech(parity, method.name)
    executor = Damaged(parity.executor(method.artifact), DAMAGES[damage])

    verdict = judge_evidence(method, evidence, executor, parity.sizes, "fp32")

    assert verdict.status is Status.FAIL
    assert verdict.subject == method.name


@pytest.mark.parametrize("name", ["text_decoder", "semantic_head", "predict_velocity"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_one_damaged_call_among_many_fails(name: str, damage: str, parity: Parity) -> None:
    method, evidence = speech(parity, name)
    assert len(evidence.case.calls) > 10
    executor = Damaged(parity.executor(method.artifact), DAMAGES[damage], at=7, only=True)

    assert judge_evidence(method, evidence, executor, parity.sizes, "fp32").status is Status.FAIL


def test_a_shifted_cache_position_fails(parity: Parity) -> None:
    method, evidence = speech(parity, "text_decoder")
    shifted = Damaged(parity.executor(method.artifact), inputs=lambda x: [x[0], x[1] + 1], at=1)

    assert judge_evidence(method, evidence, shifted, parity.sizes, "fp32").status is Status.FAIL


def test_a_state_that_forgets_fails(parity: Parity) -> None:
    method, evidence = speech(parity, "text_decoder")
    executor = parity.executor(method.artifact)

    def forget(inputs: Sequence[Array]) -> Sequence[Array]:
        executor.reset("single steps")
        return inputs

    forgetful = Damaged(executor, inputs=forget, at=1)

    verdict = judge_steps(method, evidence.case, forgetful, parity.sizes, "fp32")

    assert verdict.status is Status.FAIL
    assert verdict.case == "prefill ≡ single steps"


def test_the_wrong_knot_fails(parity: Parity) -> None:
    method, evidence = speech(parity, "predict_velocity")
    wrong = Damaged(
        parity.executor(method.artifact), inputs=lambda x: [x[0], x[1] + 1, x[2]], at=5, only=True
    )

    assert judge_evidence(method, evidence, wrong, parity.sizes, "fp32").status is Status.FAIL


def test_a_program_that_refuses_to_run_fails_with_its_reason(parity: Parity) -> None:
    method, evidence = speech(parity, "semantic_head")

    def refuse(inputs: Sequence[Array]) -> Sequence[Array]:
        raise ExecutionError("axis 1 is out of bounds")

    verdict = judge_evidence(
        method,
        evidence,
        Damaged(parity.executor(method.artifact), inputs=refuse),
        parity.sizes,
        "fp32",
    )

    assert verdict.status is Status.FAIL
    assert verdict.summary == "lowered, but does not run: axis 1 is out of bounds"


def delegation(**changes: object) -> MethodDelegation:
    facts = {
        "method": "forward",
        "delegates": {"MLXBackend": 1},
        "kernel_calls": (),
        "nodes": 7,
        "node_counts": {},
    }
    return MethodDelegation(**{**facts, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "summary"),
    [
        (
            {"delegates": {"MLXBackend": 4}, "kernel_calls": ("aten::index_put.out",) * 3},
            "expected one MLX delegate and nothing outside it, got 4 × MLXBackend; "
            "not delegated: aten::index_put.out",
        ),
        (
            {"delegates": {}, "nodes": 0, "kernel_calls": ("aten::add.out",)},
            "expected one MLX delegate and nothing outside it, got no delegate; "
            "not delegated: aten::add.out",
        ),
        (
            {"delegates": {"XnnpackBackend": 1}},
            "expected one MLX delegate and nothing outside it, got 1 × XnnpackBackend",
        ),
    ],
)
def test_an_undelegated_node_fails_and_is_listed(changes: dict, summary: str) -> None:
    (codec,) = select_methods(["codec"])

    verdict = judge_delegation(codec, [delegation(**changes)])

    assert verdict.status is Status.FAIL
    assert verdict.summary == summary


def test_a_missing_method_cannot_be_judged() -> None:
    (codec,) = select_methods(["codec"])

    verdict = judge_delegation(codec, [delegation(method="encode")])

    assert verdict.status is Status.UNJUDGED
    assert verdict.summary.startswith("codec_decoder.pte has no method forward: it carries encode")


def test_a_weight_changed_after_export_fails(parity: Parity, tmp_path: Path) -> None:
    """Flip the exponent's low bit of one weight of the flow head, in a copy of the file."""
    from harness.runtime.portable import PortableExecutor

    method, evidence = speech(parity, "predict_velocity")
    original = parity.artifact(method.artifact).path.read_bytes()
    weight = parity.model.flow_head.layers["0"].attention.wo.weight
    needle = weight[3, :16].numpy().tobytes()
    at = original.index(needle) + 3  # the top byte of a little-endian float32
    damaged = tmp_path / "model.pte"
    damaged.write_bytes(original[:at] + bytes([original[at] ^ 1]) + original[at + 1 :])
    executor = PortableExecutor()
    executor.load(damaged)

    broken = judge_evidence(method, evidence, executor, parity.sizes, "fp32")
    other, other_evidence = speech(parity, "text_decoder")
    sound = judge_evidence(other, other_evidence, executor, parity.sizes, "fp32")

    assert (broken.status, sound.status) == (Status.FAIL, Status.PASS)
