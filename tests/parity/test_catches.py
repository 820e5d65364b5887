"""Whatever is broken turns the verdict of the right method red."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from fixtures.exports import Line
from harness.arrays import Array
from harness.budget import COMMITTED
from harness.budget.ledger import Ledger
from harness.compare import Status, Verdict, exit_code
from harness.errors import ExecutionError, InputError, MachineError, UnsupportedError
from harness.methods import METHODS, MODEL, Method, select_methods
from harness.parity.evidence import SPEECH, STEPS
from harness.parity.judges.values import judge_values
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


class OneState:
    """An executor that keeps one KV cache for all states."""

    def __init__(self, executor: Executor) -> None:
        self.executor = executor

    def reset(self, state: str = "default") -> None:
        self.executor.reset()

    def call(self, method: str, inputs: Sequence[Array], *, state: str = "default") -> list[Array]:
        return self.executor.call(method, inputs)


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


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_damaged_output_fails(method: Method, damage: str, tiny_line: Line) -> None:
    executor = Damaged(tiny_line.executor(method.artifact), DAMAGES[damage])

    verdict = tiny_line.judged_on(executor, method.name)

    assert verdict.status is Status.FAIL
    assert verdict.subject == method.name


@pytest.mark.parametrize("name", ["text_decoder", "semantic_head", "predict_velocity"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_one_damaged_call_among_many_fails(name: str, damage: str, tiny_line: Line) -> None:
    assert len(tiny_line.case(name)[1].case.calls) > 10
    executor = Damaged(tiny_line.executor(MODEL), DAMAGES[damage], at=7, only=True)

    assert tiny_line.judged_on(executor, name).status is Status.FAIL


def test_a_shifted_cache_position_fails(tiny_line: Line) -> None:
    shifted = Damaged(tiny_line.executor(MODEL), inputs=lambda x: [x[0], x[1] + 1], at=1)

    assert tiny_line.judged_on(shifted, "text_decoder").status is Status.FAIL


def steps_on(executor: Damaged, tiny_line: Line) -> Verdict:
    """The verdict on one prefill against single steps, the steps made on `executor`."""
    method, item = tiny_line.case("text_decoder", STEPS)
    observed = {
        SPEECH: tiny_line.observed_on(
            tiny_line.executor(MODEL), method, tiny_line.case(method.name)[1].case
        ),
        STEPS: tiny_line.observed_on(executor, method, item.case),
    }
    verdicts = judge_values(tiny_line.plan, method, tiny_line.evidence, observed, COMMITTED)
    return next(verdict for verdict in verdicts if verdict.case == STEPS)


def test_a_state_that_forgets_fails(tiny_line: Line) -> None:
    executor = tiny_line.executor(MODEL)

    def forget(inputs: Sequence[Array]) -> Sequence[Array]:
        executor.reset()
        return inputs

    assert steps_on(Damaged(executor), tiny_line).status is Status.PASS
    assert steps_on(Damaged(executor, inputs=forget, at=1), tiny_line).status is Status.FAIL


def test_one_cache_for_two_states_fails(tiny_line: Line) -> None:
    executor = OneState(tiny_line.executor(MODEL))

    assert tiny_line.judged_on(executor, "text_decoder").status is Status.PASS
    verdict = tiny_line.judged_on(executor, "text_decoder", "two states by turns")
    assert verdict.status is Status.FAIL


@pytest.mark.parametrize("position", [76, 100, 126])
def test_a_fault_at_a_late_single_step_fails(position: int, tiny_line: Line) -> None:
    """No speech of tiny reaches these positions; a wrong cache slot shows only where it is used."""

    def late(inputs: Sequence[Array]) -> Sequence[Array]:
        here = len(inputs[1]) == 1 and int(inputs[1][0]) == position
        return [inputs[0] * np.float32(1.001), inputs[1]] if here else inputs

    damaged = Damaged(tiny_line.executor(MODEL), inputs=late)
    label = next(
        item.case.label
        for item in tiny_line.evidence.cases["text_decoder"]
        if "single steps" in item.case.label and item.case.label != STEPS
    )

    assert tiny_line.judged_on(damaged, "text_decoder").status is Status.PASS
    assert tiny_line.judged_on(damaged, "text_decoder", label).status is Status.FAIL


def test_the_wrong_knot_fails(tiny_line: Line) -> None:
    wrong = Damaged(
        tiny_line.executor(MODEL), inputs=lambda x: [x[0], x[1] + 1, x[2]], at=5, only=True
    )

    assert tiny_line.judged_on(wrong, "predict_velocity").status is Status.FAIL


def refusing(tiny_line: Line, error: Exception) -> Verdict:
    def refuse(inputs: Sequence[Array]) -> Sequence[Array]:
        raise error

    executor = Damaged(tiny_line.executor(MODEL), inputs=refuse)
    return tiny_line.judged_on(executor, "semantic_head")


def test_a_program_that_refuses_to_run_fails_with_its_reason(tiny_line: Line) -> None:
    verdict = refusing(tiny_line, ExecutionError("axis 1 is out of bounds"))

    assert verdict.status is Status.FAIL
    assert verdict.summary == "lowered, but does not run: axis 1 is out of bounds"


@pytest.mark.parametrize(
    "error",
    [
        InputError("input 0 must be bfloat16"),
        MachineError("the child died by signal 9"),
        UnsupportedError("a Metal kernel"),
        MemoryError("no memory"),
        TypeError("our own fault"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_the_program_did_not_refuse_is_unjudged(error: Exception, tiny_line: Line) -> None:
    verdict = refusing(tiny_line, error)

    assert verdict.status is Status.UNJUDGED
    assert exit_code([verdict]) == 2
    assert str(error) in verdict.summary


def test_a_case_that_was_not_run_is_unjudged(tiny_line: Line) -> None:
    (head,) = select_methods(["semantic_head"])

    verdicts = judge_values(tiny_line.plan, head, tiny_line.evidence, {}, COMMITTED)

    assert len(verdicts) == len(tiny_line.evidence.cases["semantic_head"])
    assert {verdict.status for verdict in verdicts} == {Status.UNJUDGED}


def test_a_precision_without_an_allowance_is_unjudged(tiny_line: Line) -> None:
    (head,) = select_methods(["semantic_head"])
    nothing = dataclasses.replace(COMMITTED, ledger=Ledger({}, ()))

    verdicts = judge_values(
        tiny_line.plan,
        head,
        tiny_line.evidence,
        tiny_line.observation.cases["semantic_head"],
        nothing,
    )

    assert {verdict.status for verdict in verdicts} == {Status.UNJUDGED}


def test_a_weight_changed_after_export_fails(tiny_line: Line, tmp_path: Path) -> None:
    """Flip the exponent's low bit of one weight of the flow head, in a copy of the file."""
    from harness.runtime.portable import PortableExecutor

    original = tiny_line.artifact(MODEL).path.read_bytes()
    weight = tiny_line.model.flow_head.layers["0"].attention.wo.weight
    needle = weight[3, :16].numpy().tobytes()
    at = original.index(needle) + 3  # the top byte of a little-endian float32
    damaged = tmp_path / "model.pte"
    damaged.write_bytes(original[:at] + bytes([original[at] ^ 1]) + original[at + 1 :])
    executor = PortableExecutor()
    executor.load(damaged)

    assert tiny_line.judged_on(executor, "predict_velocity").status is Status.FAIL
    assert tiny_line.judged_on(executor, "text_decoder").status is Status.PASS
