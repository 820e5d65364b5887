"""Make the calls of a case on an executor, and say who refused if it does not go on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from harness.arrays import Array
from harness.errors import ExecutionError, HarnessError
from harness.methods import Method
from harness.methods.cases import Case
from harness.parity.observation import By, CaseObservation, Refusal
from harness.parity.plan import Plan
from harness.runtime.protocol import Executor
from harness.synthesis.record import call_for_one

__all__ = ["guarded", "observe_case", "replay"]

T = TypeVar("T")


def guarded(work: Callable[[], T]) -> T | Refusal:
    """What `work` returns, or who refused.

    Only an `ExecutionError` is the program's own refusal. Whatever else goes wrong, faults of the
    harness included, says nothing of the program.
    """
    try:
        return work()
    except ExecutionError as error:
        return Refusal(By.PROGRAM, str(error), _notes(error))
    except HarnessError as error:
        return Refusal(By.HARNESS, str(error), _notes(error))
    except Exception as error:
        return Refusal(By.HARNESS, f"{type(error).__name__}: {error}")


def _notes(error: Exception) -> str:
    return "\n".join(getattr(error, "__notes__", ()))


def replay(method: Method, case: Case, plan: Plan, executor: Executor) -> tuple[Array, ...]:
    """Make a case's calls in order, each state fresh at first; one output a call."""
    for state in case.state_names:
        executor.reset(state)
    outputs = []
    for state, call in case.in_states():
        method.check_inputs(call, plan.sizes)
        outputs.append(call_for_one(executor, method.entry, call, state))
    return tuple(outputs)


def observe_case(plan: Plan, method: Method, case: Case, executor: Executor) -> CaseObservation:
    """What comes of one case."""
    outputs = guarded(lambda: replay(method, case, plan, executor))
    if isinstance(outputs, Refusal):
        return CaseObservation(refusal=outputs)
    return CaseObservation(outputs)
