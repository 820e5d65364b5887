"""The control: green needs the constants of this run, and an executor that reads the payload."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.arrays import Array
from harness.compare import Status
from harness.errors import (
    ExecutionError,
    HarnessError,
    MachineError,
    ProgramError,
    UnavailableError,
)
from harness.export.control import control_template
from harness.parity.control import observe_control
from harness.parity.judges.control import judge_control
from harness.pte.control import draw
from harness.runtime.portable import PortableExecutor


class Stub(PortableExecutor):
    """An executor that does something of its own with a program; subclasses say what."""

    def load(self, path: Path) -> None:
        self.damaged = b"MLX0" not in path.read_bytes()
        if not self.damaged:
            super().load(path)


class RunsAnything(Stub):
    def call(self, method: str, inputs: Sequence[Array], **options: Any) -> list[Array]:
        return [np.zeros((1, 16), np.float32)] if self.damaged else super().call(method, inputs)


class Zeros(PortableExecutor):
    def call(self, method: str, inputs: Sequence[Array], **options: Any) -> list[Array]:
        return [np.zeros((1, 16), np.float32)]


class Wide(PortableExecutor):
    def call(self, method: str, inputs: Sequence[Array], **options: Any) -> list[Array]:
        return [super().call(method, inputs, **options)[0].astype(np.float64)]


class LastRun(PortableExecutor):
    """Answers what an earlier run's control gave."""

    earlier = draw()

    def call(self, method: str, inputs: Sequence[Array], **options: Any) -> list[Array]:
        return [self.earlier.expected]


class Refuses(PortableExecutor):
    def call(self, method: str, inputs: Sequence[Array], **options: Any) -> list[Array]:
        raise ExecutionError("the delegate's kernel failed")


class Fails(Stub):
    """Ends with something else than what a damaged payload provokes; subclasses say with what."""

    error: HarnessError

    def load(self, path: Path) -> None:
        super().load(path)
        if self.damaged:
            raise self.error


class Dies(Fails):
    error = MachineError("the child process died")


class Lacks(Fails):
    error = UnavailableError("there is no Metal device")


def verdict(make: Any) -> Any:
    return judge_control(observe_control(control_template(), make))


def test_an_executor_that_reads_the_payload_passes() -> None:
    found = verdict(PortableExecutor)

    assert (found.status, found.elements) == (Status.PASS, 16)


@pytest.mark.parametrize(
    "options", [{"regime": "tf32"}, {"regime": "bf16-accumulate"}, {"fast": False}]
)
def test_every_regime_gives_it_exactly(options: dict[str, Any]) -> None:
    assert verdict(lambda: PortableExecutor(**options)).status is Status.PASS


@pytest.mark.parametrize(
    ("executor", "said"),
    [
        (Zeros, "elements are not what this run's constants give"),
        (LastRun, "elements are not what this run's constants give"),
        (Wide, "expected float32 of shape (1, 16), got float64"),
        (RunsAnything, "although the identifier of the delegate's payload was damaged"),
        (Refuses, "the delegate's kernel failed"),
    ],
)
def test_who_does_not_is_red(executor: type[PortableExecutor], said: str) -> None:
    found = verdict(executor)

    assert found.status is Status.FAIL
    assert said in found.summary


@pytest.mark.parametrize("executor", [Dies, Lacks])
def test_another_failure_is_no_refusal_of_the_damaged_payload(executor: type[Fails]) -> None:
    found = verdict(executor)

    assert found.status is Status.UNJUDGED
    assert str(executor.error) in found.summary


def test_constants_are_drawn_anew_and_stay_small() -> None:
    one, other = draw(), draw()

    assert not np.array_equal(one.matrix, other.matrix)
    for control in (one, other):
        most = np.abs(control.x) @ np.abs(control.matrix) + np.abs(control.bias)
        assert most.max() <= 256  # integers that bfloat16 holds


def test_a_template_without_its_constants_is_refused() -> None:
    control, template = draw(), control_template()
    made = control.program(template)

    assert made != template
    with pytest.raises(ProgramError, match="once each"):
        control.program(made)
    with pytest.raises(ProgramError, match="one payload"):
        control.damaged(template.replace(b"MLX0", b"MLX1"))


def test_an_output_of_another_control_is_red() -> None:
    seen = observe_control(control_template(), PortableExecutor)
    swapped = dataclasses.replace(seen, control=draw())

    assert judge_control(swapped).status is Status.FAIL
