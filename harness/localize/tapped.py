"""Judge a program whose values are outputs, step by step, as the local link does: needs no torch.

An executor that shows nothing but outputs, as ExecuTorch's own runtime, shows these. The portable
executor goes along with them, and each step is judged on the inputs that it really had.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from harness.arrays import Array
from harness.budget import Budget
from harness.compare import Status, Verdict
from harness.fingerprint import Regime, name_of
from harness.localize.steps import MOST, of_step, read_steps
from harness.methods import Method
from harness.parity.evidence import CaseEvidence, Evidence
from harness.parity.judges.values import judge_outputs, oracles_of
from harness.parity.observation import CaseObservation
from harness.parity.plan import Plan
from harness.pte.names import StepNames
from harness.report.finding import Finding, Localized
from harness.runtime.protocol import Executor, StepError

__all__ = [
    "VANISHED", "Known", "Off", "judged", "portable", "tapped_steps", "through_taps",
    "up_to_wrong", "within",
]  # fmt: skip


class Known(Protocol):
    """What outputs are judged by: the values of one run."""

    @property
    def plan(self) -> Plan:
        """What is judged."""
        ...

    @property
    def evidence(self) -> Evidence:
        """What should come of it."""
        ...

    @property
    def budget(self) -> Budget:
        """What may differ."""
        ...


@dataclass(frozen=True)
class Off:
    """A method that is off on some executor.

    Attributes
    ----------
    subject, entry, case
        What is judged, the program's method, and the label of the case.
    calls
        Those of the case up to the first whose outputs are off, each with its state's name.
    within
        Whether the outputs of all calls are within what is allowed, in a regime.
    budget
        What may differ.
    """

    subject: str
    entry: str
    case: str
    calls: Sequence[tuple[str, Sequence[Array]]]
    within: Callable[[Sequence[Sequence[Array]], str], bool]
    budget: Budget

    def run(self, executor: Executor) -> list[list[Array]]:
        """All outputs of each call."""
        self.reset(executor)
        return [executor.call(self.entry, call, state=state) for state, call in self.calls]

    def reset(self, executor: Executor) -> None:
        """Let every state of the calls be a fresh one."""
        for state in dict.fromkeys(state for state, _ in self.calls):
            executor.reset(state)

    def told(self, findings: Sequence[Finding], proved: bool, proof: str) -> Localized:
        """What is wrong with it."""
        number = len(self.calls) - 1
        return Localized(self.subject, self.case, number, tuple(findings), proved, proof)

    @classmethod
    def of_method(cls, line: Known, method: Method, item: CaseEvidence) -> Off:
        """A method that is off in a case, which ends with the call that makes it so."""
        return cls(
            method.name, method.entry, item.case.label, list(item.case.in_states()),
            lambda made, regime: within(line, method, item, [call[0] for call in made], regime),
            line.budget,
        )  # fmt: skip


def judged(
    line: Known, method: Method, item: CaseEvidence, outputs: Sequence[Array], regime: str
) -> Verdict:
    """The verdict on a case's outputs, in a regime."""
    precision = line.plan.precision.allowance
    allowance = line.budget.of(line.plan.lowering, precision, method.name, regime)
    oracle = oracles_of(line.evidence, method).get(item.case.label)
    observed = CaseObservation(tuple(outputs))
    return judge_outputs(line.plan, method, item, observed, allowance, oracle)


def within(
    line: Known, method: Method, item: CaseEvidence, outputs: Sequence[Array], regime: str
) -> bool:
    """Whether a case's outputs are within what the method is allowed in a regime."""
    return judged(line, method, item, outputs, regime).status is Status.PASS


def up_to_wrong(
    line: Known, method: Method, item: CaseEvidence, outputs: Sequence[Array], regime: str
) -> CaseEvidence:
    """A case whose outputs are off, up to the first call that makes it so."""
    for count in range(1, len(outputs)):
        short = CaseEvidence(item.case.first(count), item.outputs[:count])
        if not within(line, method, short, outputs[:count], regime):
            return short
    return item


def through_taps(
    what: Off, path: Path, order: Sequence[str], executor: Executor, regime: Regime | None
) -> Localized | None:
    """The steps of a tapped program that an executor computes wrong.

    Parameters
    ----------
    what
        The method.
    path, order
        Its program with taps, and the nodes whose values are the outputs behind its own.
    executor, regime
        Who computes it wrong, and how exactly that one multiplies.

    Returns
    -------
    Localized or None
        Without findings where each step is right, and the outputs are not; None where both are.
    """
    executor.load(path)
    made = what.run(executor)
    count = len(made[0]) - len(order)
    places, _ = read_steps(path, what.entry)
    with closing(portable()) as judge:
        judge.load(path)
        probe = judge.probe(what.entry)
        known = tapped_steps(probe, places, order)
        values = [dict(zip(known, outputs[count:], strict=True)) for outputs in made]
        _, steps = _along(what, judge, values, regime)
        wrong = [step for step in steps if step.share(what.budget.local) > 1.0][:MOST]
        if not wrong:
            right = what.within([outputs[:count] for outputs in made], name_of(regime))
            return None if right else what.told([], False, _UNSEEN)
        first, repair = wrong[0].step, [step.step for step in wrong]
        before = [{at: v for at, v in call.items() if at[0] < first} for call in values]
        outputs, _ = _along(what, judge, before, regime, repair)
        proved = what.within([call[:count] for call in outputs], judge.fingerprint.regime)
    findings = [of_step(step, places, what.budget.local) for step in wrong]
    proof = (
        "Each step was judged on the inputs that it had on this executor, seen through taps. "
        "With these values up to the first wrong step, the float64 value, rounded, in the "
        "place of each wrong one, and the portable executor behind it, the output is "
        f"{'within' if proved else 'outside of'} what is allowed."
    )
    return what.told(findings, proved, proof)


def tapped_steps(probe: Any, places: StepNames, order: Sequence[str]) -> list[tuple[int, int]]:
    """Step, and number of its output, of each node of `order`, in a program with taps."""
    return [(probe.step(name).index, places.values[name][1]) for name in order]


VANISHED = (
    "The fault vanishes under observation: with the value of every node an output, this executor "
    "computes the method right. "
)
"""Where `through_taps` finds nothing."""

_UNSEEN = (
    "The value of every node was an output: each is right for the inputs that it had, and the "
    "method's output is off all the same. What is wrong is not a step, but a state between calls, "
    "or what is returned."
)


def _along(
    what: Off,
    judge: Any,
    values: Sequence[Mapping[tuple[int, int], Array]],
    regime: Regime | None,
    repair: Sequence[int] = (),
) -> tuple[list[list[Array]], list[StepError]]:
    """The calls again along given values: outputs, and the steps of the first wrong call."""
    from harness.runtime.portable.local import Given

    outputs: list[list[Array]] = []
    wrong: list[StepError] = []
    what.reset(judge)
    for (state, call), given in zip(what.calls, values, strict=True):
        made, steps = judge.watch(
            what.entry, call, state=state, repair=repair, given=Given(given, regime)
        )
        outputs.append(made)
        if not wrong and any(step.share(what.budget.local) > 1.0 for step in steps):
            wrong = [step for step in steps if step.op != "output"]
    return outputs, wrong


def portable() -> Any:
    """The portable executor, which needs mlx."""
    from harness.runtime.portable import PortableExecutor

    return PortableExecutor()
