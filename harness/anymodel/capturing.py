"""Verdicts on what `torch.export` captured: the graph beside the module."""

from __future__ import annotations

import math

from harness.anymodel.recording import Recorded
from harness.budget import ExactAllowance
from harness.compare import Gate, Status, Verdict
from harness.methods import Method

__all__ = ["judge_capture"]

_DOUBTFUL = 0.1
"""Of the scale: rounding alone does not make an output differ so much from itself in float64."""


def judge_capture(method: Method, recorded: Recorded, allowance: ExactAllowance) -> list[Verdict]:
    """What can be said of the exported graph; of a program that was given, only doubts.

    And of state that no output shows.
    """
    state = _judge_state(method, recorded)
    if not recorded.given:
        return [_judge_graph(method, recorded, allowance), *state]
    own, _ = recorded.captured
    if not own > _DOUBTFUL:
        return state
    summary = (
        f"the given program differs by {own:.1e} of the scale from itself in float64: what it "
        "means is not known"
    )
    metrics = {"max abs of scale": own}
    doubt = Verdict(method.name, "torch.export", "graph", Status.UNJUDGED, summary, metrics)
    return [doubt, *state]


def _judge_state(method: Method, recorded: Recorded) -> list[Verdict]:
    if not recorded.unseen:
        return []
    summary = (
        f"no output shows what is left in {', '.join(recorded.unseen)}: return it from the module, "
        "or from one that wraps it"
    )
    return [Verdict(method.name, "state", "graph", Status.UNJUDGED, summary)]


def _judge_graph(method: Method, recorded: Recorded, allowance: ExactAllowance) -> Verdict:
    """What `torch.export` captured, beside the module."""
    own, exact = recorded.captured
    elements = sum(array.size for case in recorded.cases for call in case.eager for array in call)
    gate = Gate("max abs in float64", exact, allowance.of_scale, "of scale")
    if own == 0.0:
        gate = Gate("max abs", own, 0, "of scale")
    if gate.passed:
        bits = "bit for bit" if own == 0.0 else f"to {exact:.1e} of the scale in float64"
        summary, status = f"the exported graph computes what the module does, {bits}", Status.PASS
    elif math.isnan(gate.value):
        summary = f"the exported graph was not compared with the module: {recorded.trouble}"
        status = Status.UNJUDGED
    else:
        summary = (
            f"the exported graph is not the module: they differ by {own:.1e} of the scale, in "
            f"float64 by {exact:.1e}"
        )
        status = Status.FAIL
    notes = []
    if recorded.twin == "graph" and not math.isnan(exact) and exact > allowance.of_scale:
        notes.append(
            "The module does something else in float64, where it asks for its type, perhaps; what "
            "is meant is told by the exported graph, which is the module bit for bit."
        )
    metrics = {"max abs of scale": own, "max abs of scale in float64": exact}
    gates = () if status is Status.UNJUDGED else (gate,)
    return Verdict(
        method.name, "torch.export", "graph", status, summary, metrics, gates,
        max(elements, 1), tuple(notes),
    )  # fmt: skip
