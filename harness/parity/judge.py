"""Replay what eager did on an executor, and turn what comes back into verdicts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from harness.arrays import Array
from harness.compare import (
    Allowance,
    Gate,
    Status,
    Verdict,
    judge_many,
    judge_waveform,
    words,
)
from harness.compare.waveforms import PCM16_FULL_SCALE
from harness.errors import ExecutionError, InputError
from harness.methods import Dimensions, Method
from harness.methods.cases import Case
from harness.parity.evidence import Evidence
from harness.pte.coverage import MLX_BACKEND, MethodDelegation
from harness.runtime.protocol import Executor

__all__ = [
    "judge_coverage",
    "judge_delegation",
    "judge_evidence",
    "judge_outputs",
    "judge_steps",
    "refused",
    "replay",
    "unlowered",
]

XNNPACK_BACKEND = "XnnpackBackend"


def judge_evidence(
    method: Method, evidence: Evidence, executor: Executor, sizes: Dimensions, precision: str
) -> Verdict:
    """Judge one case: the executor's outputs against eager's, on the same inputs.

    Parameters
    ----------
    method
        The method judged.
    evidence
        Inputs and eager outputs.
    executor
        Has the artifact loaded.
    sizes
        Dimensions of the artifact.
    precision
        Picks the method's allowance.

    Returns
    -------
    Verdict
        An executor that refuses to run is a failed verdict: the export is wrong.
    """
    case = evidence.case
    try:
        outputs = replay(method, case, executor, sizes)
    except (ExecutionError, InputError) as error:
        return refused(method.name, case.label, error)
    return judge_outputs(method, evidence, outputs, sizes, precision)


def judge_outputs(
    method: Method,
    evidence: Evidence,
    outputs: Sequence[Array],
    sizes: Dimensions,
    precision: str,
) -> Verdict:
    """Judge what an executor made of one case; `precision` picks the method's allowance.

    Without an allowance the verdict is *unjudged*: nobody measured what counts as equal.
    """
    case = evidence.case
    if precision not in method.allowances:
        return Verdict(
            subject=method.name,
            case=case.label,
            kind="tensor",
            status=Status.UNJUDGED,
            summary=f"no allowance is known for {precision}",
        )
    allowance = method.allowances[precision]
    if method.name == "codec" and len(outputs) == 1:
        (candidate,), (reference,) = outputs, evidence.outputs
        return judge_waveform(
            method.name,
            case.label,
            candidate,
            reference,
            allowance,
            sizes.sampling_rate,
            pcm_lsb=_pcm_steps(reference, allowance),
        )
    pairs = list(zip(outputs, evidence.outputs, strict=True))
    return judge_many(method.name, case.label, pairs, allowance)


def _pcm_steps(reference: Array, allowance: Allowance) -> int:
    """How many steps 16-bit codes may differ: what `max_abs` comes to, and one by truncation."""
    steps = allowance.max_abs * float(np.abs(reference).max()) * PCM16_FULL_SCALE
    return 1 if steps < 1 else 1 + math.ceil(steps)


def replay(
    method: Method, case: Case, executor: Executor, sizes: Dimensions, state: str = "default"
) -> list[Array]:
    """Make a case's calls in order from a fresh state; one output a call."""
    executor.reset(state)
    outputs = []
    for call in case.calls:
        method.check_inputs(call, sizes)
        (output,) = executor.call(method.entry, call, state=state)
        outputs.append(output)
    return outputs


def judge_steps(
    method: Method, prompt: Case, executor: Executor, sizes: Dimensions, precision: str
) -> Verdict:
    """Judge the KV cache by itself: one prefill of S tokens against S single steps.

    Both sides run on `executor`, so that a state fault shows even where eager shares it.
    """
    label = "prefill ≡ single steps"
    (embeds, positions) = prompt.calls[0]
    singles = Case(
        method.name,
        label,
        tuple((embeds[:, i : i + 1], positions[i : i + 1]) for i in range(len(positions))),
    )
    try:
        (whole,) = replay(method, Case(method.name, label, prompt.calls[:1]), executor, sizes)
        steps = replay(method, singles, executor, sizes, state="single steps")
    except (ExecutionError, InputError) as error:
        return refused(method.name, label, error)
    whole_case = Evidence(Case(method.name, label, prompt.calls[:1]), (whole,))
    return judge_outputs(method, whole_case, [np.concatenate(steps, axis=1)], sizes, precision)


def judge_coverage(method: Method, delegations: Sequence[MethodDelegation]) -> Verdict:
    """Say how much of a method XNNPACK takes; unlike MLX it leaves the rest to CPU kernels."""
    found = {delegation.method: delegation for delegation in delegations}
    if method.entry not in found:
        return _missing(method, found)
    here = found[method.entry]
    others = {name: n for name, n in here.delegates.items() if name != XNNPACK_BACKEND}
    gate = Gate("other delegates", float(sum(others.values())), 0.0)
    taken = here.delegates.get(XNNPACK_BACKEND, 0)
    left = Counter(here.kernel_calls)
    most = ", ".join(f"{name} × {n}" for name, n in left.most_common(3))
    summary = (
        f"{words.count(taken, 'XNNPACK delegate')}, "
        f"{words.count(len(here.kernel_calls), 'call')} of CPU kernels{': ' * bool(most)}{most}"
        f"{', …' if len(left) > 3 else ''}"
    )
    if others:
        got = ", ".join(f"{n} × {name}" for name, n in others.items())
        summary = f"expected delegates of XNNPACK alone, got {got} besides"
    return Verdict(
        subject=method.name,
        case="delegation",
        kind="delegation",
        status=Status.PASS if gate.passed else Status.FAIL,
        summary=summary,
        metrics={"delegates": taken, "not delegated": tuple(sorted(left))},
        gates=(gate,),
        elements=taken + len(here.kernel_calls),
    )


def judge_delegation(method: Method, delegations: Sequence[MethodDelegation]) -> Verdict:
    """Judge coverage: one delegate, and nothing outside it."""
    found = {delegation.method: delegation for delegation in delegations}
    if method.entry not in found:
        return _missing(method, found)
    here = found[method.entry]
    outside = tuple(sorted(set(here.kernel_calls)))
    others = {name: n for name, n in here.delegates.items() if name != MLX_BACKEND}
    gates = (
        Gate("MLX delegates beside one", float(abs(here.delegates.get(MLX_BACKEND, 0) - 1)), 0.0),
        Gate("other delegates", float(sum(others.values())), 0.0),
        Gate("calls outside delegates", float(len(here.kernel_calls)), 0.0),
    )
    sound = all(gate.passed for gate in gates)
    if sound:
        summary = f"one MLX delegate of {here.nodes} nodes, nothing outside it"
    else:
        got = ", ".join(f"{n} × {name}" for name, n in here.delegates.items()) or "no delegate"
        ops = f"; not delegated: {', '.join(outside)}" if outside else ""
        summary = f"expected one MLX delegate and nothing outside it, got {got}{ops}"
    return Verdict(
        subject=method.name,
        case="delegation",
        kind="delegation",
        status=Status.PASS if sound else Status.FAIL,
        summary=summary,
        metrics={"nodes": here.nodes, "not delegated": outside},
        gates=gates,
        elements=here.nodes,
    )


def _missing(method: Method, found: Mapping[str, MethodDelegation]) -> Verdict:
    return Verdict(
        subject=method.name,
        case="delegation",
        kind="delegation",
        status=Status.UNJUDGED,
        summary=f"{method.artifact} has no method {method.entry}: it carries "
        f"{', '.join(found) or 'none'}; export it again",
    )


def unlowered(method: Method, reason: str, backend: str = "MLX") -> Verdict:
    """Verdict on a method that could not be lowered at all."""
    first = reason.strip().splitlines()[0] if reason.strip() else "no reason given"
    return Verdict(
        subject=method.name,
        case="lowering",
        kind="execution",
        status=Status.FAIL,
        summary=f"cannot be lowered to {backend}: {first}",
        notes=(reason,),
    )


def refused(subject: str, case: str, error: Exception) -> Verdict:
    """Verdict on a program that was lowered and does not run."""
    return Verdict(
        subject=subject,
        case=case,
        kind="execution",
        status=Status.FAIL,
        summary=f"lowered, but does not run: {error}",
    )
