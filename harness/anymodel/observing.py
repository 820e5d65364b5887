"""What the program does: on an executor, in float64, and step by step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import compress
from pathlib import Path

from harness.anymodel.model import entry_of
from harness.anymodel.recording import CaseRecord, Outputs, Recorded
from harness.arrays import Array
from harness.fingerprint import Fingerprint
from harness.parity.links import Watched
from harness.parity.observation import LocalObservation, Refusal
from harness.parity.replay import guarded
from harness.pte.plan import TensorValue
from harness.pte.program import read_program
from harness.runtime.exact import ExactExecutor
from harness.runtime.protocol import Executor, Watchable

__all__ = ["Observed", "Ran", "Tensors", "observe", "replayed", "tensors_in"]

Ran = tuple[Outputs, ...] | Refusal
"""What came of a case: outputs of each call, or who refused."""

Tensors = Callable[[Sequence[Array]], Outputs]
"""Takes the tensors out of what a program made."""

WATCHED = 4
"""Calls of a case whose steps are judged: a step computes the same in each."""


@dataclass(frozen=True)
class Observed:
    """What was seen of one program.

    Attributes
    ----------
    executor
        Which ran it.
    cases, exact
        For each case by its label, what came of it: on the executor, and in float64.
    local
        What its steps did; None where the executor does not let them be seen.
    """

    executor: Fingerprint
    cases: Mapping[str, Ran]
    exact: Mapping[str, Ran]
    local: LocalObservation | None


def tensors_in(path: Path, entry: str) -> Tensors:
    """What takes the tensors out of the outputs of a file's method: a module's numbers are lost."""
    with closing(read_program(path)) as program:
        plan = program.plans.get(entry)  # a file without methods refuses the call
        outputs = [] if plan is None else [plan.values[index] for index in plan.outputs]
        kept = [isinstance(value, TensorValue) for value in outputs]
    return lambda made: tuple(compress(made, kept))


def replayed(
    executor: Executor, entry: str, case: CaseRecord, tensors: Tensors = tuple
) -> tuple[Outputs, ...]:
    """Make a case's calls in order, from a fresh state."""
    executor.reset()
    return tuple(tensors(executor.call(entry, call)) for call in case.inputs)


def observe(
    path: Path,
    recorded: Recorded,
    executor: Executor,
    progress: Callable[[str], None] = lambda text: None,
) -> Observed:
    """Run a program on an executor, which has nothing loaded yet, and in float64."""
    progress(f"running the program on the {executor.fingerprint.executor} executor")
    executor.load(path)
    entry = entry_of(executor.methods())
    tensors = tensors_in(path, entry)
    cases: dict[str, Ran] = {
        case.label: guarded(lambda c=case: replayed(executor, entry, c, tensors))  # type: ignore[misc]
        for case in recorded.cases
    }
    local = None
    if isinstance(executor, Watchable):
        progress("watching each step")
        seen = guarded(lambda: _watch(executor, entry, recorded, cases, tensors))
        local = LocalObservation(refusal=seen) if isinstance(seen, Refusal) else seen
    progress("running the program in float64")
    with closing(ExactExecutor()) as exact:
        exact.load(path)
        wide: dict[str, Ran] = {
            case.label: guarded(lambda c=case: replayed(exact, entry, c, tensors))  # type: ignore[misc]
            for case in recorded.cases
        }
    return Observed(executor.fingerprint, cases, wide, local)


def _watch(
    executor: Watchable,
    entry: str,
    recorded: Recorded,
    cases: Mapping[str, Ran],
    tensors: Tensors,
) -> LocalObservation:
    seen = Watched()
    for case in recorded.cases:
        executor.reset()
        alone = cases[case.label]
        for number, call in enumerate(case.inputs[:WATCHED]):
            made, steps = executor.watch(entry, call)
            before = () if isinstance(alone, Refusal) else alone[number]
            seen.add(case.label, number, steps, zip(tensors(made), before, strict=False))
    return seen.found()
