"""Verdicts on any model: coverage, the exported graph, both links, and each output end to end."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence

import numpy as np

from harness.anymodel.capturing import judge_capture
from harness.anymodel.counts import judge_counts
from harness.anymodel.model import ENTRY, Model, entry_of
from harness.anymodel.observing import WATCHED, Observed, Ran
from harness.anymodel.recording import CaseRecord, Recorded, masked
from harness.arrays import Array
from harness.budget import COMMITTED, Budget, ExactAllowance
from harness.compare import (
    Allowance,
    Gate,
    Multiples,
    Oracle,
    Status,
    Verdict,
    exit_code,
    judge_many,
    judge_own_error,
    relative_error,
    words,
)
from harness.compare.metrics import as_float64, beyond, difference
from harness.float64.rules import roundoff
from harness.float64.slots import is_float
from harness.methods import Method
from harness.parity.judges.files import judge_delegation
from harness.parity.judges.links import IN_FLOAT64, judge_differences, judge_local
from harness.parity.judges.values import figures_only, refused
from harness.parity.observation import LocalObservation, Refusal
from harness.pte.facts import ProgramFacts
from harness.pte.kernels import runtime_lacks

__all__ = ["judge", "judge_case", "method_of"]

_SLACK = {2: (2.0, 8.0), 4: (12.0, 16.0), 8: (12.0, 16.0)}
"""Bytes of an element → a, b: an output of n elements may lose a + b / √n times what Voxtral's may
of eager's own error. Nobody measured other models, a few elements say little of an error's size,
and in float32 MLX's functions are a few units in the last place off where torch's are one (exp 4
times eager's error, softmax 10 times in its worst row). The two links need no such slack."""

_SAME_MASK = 4.0
"""Half units in the last place by which a mask's elements may differ, and be the same."""


def method_of(model: Model) -> Method:
    """The model as the judges of methods take it."""
    return Method(model.title, "model.pte", inputs=(), entry=ENTRY)


def judge(
    model: Model,
    recorded: Recorded,
    facts: ProgramFacts,
    observed: Observed,
    budget: Budget = COMMITTED,
) -> list[Verdict]:
    """Every verdict on one model, in the order of the report."""
    method = method_of(model)
    entry = entry_of(tuple(facts.methods))
    delegated = judge_delegation(dataclasses.replace(method, entry=entry), facts)
    found = [_partial(model, delegated), *judge_capture(method, recorded, budget.exact)]
    links = [_judge_exact(method, recorded, observed, budget.exact)]
    if observed.local is not None:
        links.append(judge_local(method, _own_steps(model, observed.local), budget.local))
    whole = observed.local is not None and not observed.local.unjudged  # CPU kernels are
    proved = WATCHED if whole and exit_code(links) == 0 else 0
    found += links
    for case in recorded.cases:
        found += judge_case(model, case, recorded, observed, budget, proved)
    return found


def _partial(model: Model, verdict: Verdict) -> Verdict:
    """The verdict on delegation, where operators may stay outside."""
    outside = verdict.metrics.get("not delegated")
    if verdict.status is not Status.FAIL:
        return verdict
    advice = (
        "Operators outside the delegate run on ExecuTorch's CPU kernels: write them otherwise, or "
        "accept them with partial=True."
    )
    names = [str(name) for name in outside] if isinstance(outside, tuple) else []
    lacking = runtime_lacks(names)
    if lacking:
        advice += (
            f" ExecuTorch's runtime in the wheel has no kernel {', '.join(lacking)}: there the "
            "program cannot be loaded, whatever the portable executor makes of it."
        )
    if lacking or not (model.partial and outside and verdict.metrics.get("nodes")):
        return dataclasses.replace(verdict, notes=(*verdict.notes, advice))
    listed = ", ".join(names)
    gate = Gate("delegates of MLX missing", 0, 0)
    return dataclasses.replace(
        verdict,
        status=Status.PASS,
        summary=f"partly delegated, as allowed; on CPU kernels: {listed}",
        gates=(gate,),
        elements=verdict.elements or 1,
    )


def _own_steps(model: Model, seen: LocalObservation) -> LocalObservation:
    """Without the CPU kernels, which are ExecuTorch's, where the model may use them."""
    if not model.partial:
        return seen
    kept = tuple(step for step in seen.unjudged if "::" not in step)
    return dataclasses.replace(seen, unjudged=kept)


def _judge_exact(
    method: Method, recorded: Recorded, observed: Observed, allowance: ExactAllowance
) -> Verdict:
    found = []
    for case in recorded.cases:
        here = observed.exact[case.label]
        if isinstance(here, Refusal):
            return refused(method.name, IN_FLOAT64, here)
        for number, meant in enumerate(case.exact):
            wrong = _miscounted(recorded, here[number])
            if wrong:
                return Verdict(method.name, IN_FLOAT64, "exact", Status.FAIL, wrong)
            outputs = zip(recorded.names, here[number], meant, case.masks[number], strict=True)
            for name, made, reference, mask in outputs:
                if mask is not None and mask.shape == made.shape and mask.size and mask.all():
                    continue
                place = ", ".join(filter(None, (case.label, f"call {number}", name)))
                found.append((place, masked(made, mask), masked(reference, mask)))
    if not found:
        summary = "every element was ignored"
        if recorded.trouble:
            summary = f"the model does not run in float64: {recorded.trouble}"
        return Verdict(method.name, IN_FLOAT64, "exact", Status.UNJUDGED, summary)
    return judge_differences(method.name, found, allowance)


def _miscounted(recorded: Recorded, outputs: Sequence[Array]) -> str:
    if len(outputs) == len(recorded.names):
        return ""
    return f"the program returns {len(outputs)} tensors, the module {len(recorded.names)}"


def judge_case(
    model: Model,
    case: CaseRecord,
    recorded: Recorded,
    observed: Observed,
    budget: Budget,
    proved: int = 0,
) -> Iterator[Verdict]:
    """A verdict on each output of one case, beside what eager itself loses.

    In the first `proved` calls both links hold: the program means what the module means, and each
    step computes what it means. An integer that differs there was decided by rounding that is
    allowed: which of two is right, nothing here can tell.
    """
    here: Ran = observed.cases[case.label]
    if isinstance(here, Refusal):
        yield refused(model.title, case.label, here)
        return
    wrong = next((w for outputs in here if (w := _miscounted(recorded, outputs))), "")
    if wrong:
        yield Verdict(model.title, case.label, "tensor", Status.FAIL, wrong)
        return
    for index, name in enumerate(recorded.names):
        label = f"{case.label}, {name}" if name else case.label
        masks = [call[index] for call in case.masks]
        made, eager, exact = (
            [masked(call[index], mask) for call, mask in zip(calls, masks, strict=False)]
            for calls in (here, case.eager, case.exact)
        )
        hidden = sum(int(mask.sum()) for mask in masks if mask is not None)
        size = sum(array.size for array in eager)
        if hidden == size and size:
            summary = f"every element was ignored: {_reasons(model, index, recorded)}"
            yield Verdict(model.title, label, "tensor", Status.UNJUDGED, summary)
            continue
        pairs = list(zip(made, eager, strict=True))
        if is_float(eager[0].dtype):
            pairs, exact = _unmasked(pairs, exact)
            own = relative_error([([e for _, e in pairs], exact)])
            verdict = _judge_floats(model.title, label, pairs, exact, own, observed, budget)
            left = max(verdict.elements - hidden, 1) if verdict.elements else 0
            verdict = dataclasses.replace(verdict, elements=left)
        else:
            verdict = judge_counts(model.title, label, pairs, exact, proved, hidden)
        yield _told(model, verdict, hidden, index, recorded)


def _told(model: Model, verdict: Verdict, hidden: int, index: int, recorded: Recorded) -> Verdict:
    """With what was left out, and why."""
    if not hidden:
        return verdict
    reasons = _reasons(model, index, recorded)
    were = "was" if hidden == 1 else "were"
    note = f"{words.count(hidden, 'element')} {were} not compared: {reasons}."
    return dataclasses.replace(verdict, notes=(*verdict.notes, note))


def _reasons(model: Model, index: int, recorded: Recorded) -> str:
    first = sum(name.startswith("input ") for name in recorded.names)
    return "; ".join(one.reason for one in model.ignored if one.output + first == index)


def _judge_floats(
    subject: str,
    label: str,
    pairs: list[tuple[Array, Array]],
    exact: list[Array],
    own: float,
    observed: Observed,
    budget: Budget,
) -> Verdict:
    size = sum(eager.size for _, eager in pairs)
    multiples = budget.ledger.multiples("mlx", "", subject, observed.executor.regime)
    assert multiples is not None
    every, few = _SLACK[pairs[0][1].dtype.itemsize]
    factor = every + few / math.sqrt(max(size, 1))
    multiples = multiples.times(factor, f"nobody measured this model; {size} elements")
    # A gain within the RMS is for the links to see: an approximation may err to one side.
    multiples = dataclasses.replace(
        multiples, growth=multiples.growth * factor, coherence=multiples.rms
    )
    # Eager may be exact by chance; a right kernel is off by half a unit in the last place then.
    own = max(own, _unit(pairs))
    infinite = any(np.isneginf(as_float64(eager)).any() for _, eager in pairs)
    cap = dataclasses.replace(_cap(pairs, exact, own, multiples), masked=infinite)
    verdict = judge_many(subject, label, pairs, cap)
    if verdict.status is Status.UNJUDGED and verdict.metrics.get("finite") != 0:
        verdict = _constant(verdict, pairs, cap)
    if len(exact) != len(pairs):
        return figures_only(verdict, "eager was not run in float64, which tells what may differ")
    verdict = judge_own_error(verdict, pairs, Oracle(tuple(exact), own), multiples)
    if observed.executor.regime in budget.regimes:
        return verdict
    return figures_only(verdict, f"no allowance is known in regime {observed.executor.regime}")


def _unmasked(
    pairs: list[tuple[Array, Array]], exact: list[Array]
) -> tuple[list[tuple[Array, Array]], list[Array]]:
    """With 0 where all sides have the same mask (`beyond`), to a few units in the last place.

    Beside it, no error of another element would show.
    """
    exact = list(exact)
    for number, (made, eager) in enumerate(pairs):
        sides = [made, eager, *exact[number : number + 1]]
        if any(side.shape != eager.shape for side in sides) or not (masks := beyond(eager)).any():
            continue
        meant = as_float64(eager).reshape(eager.shape)
        with np.errstate(over="ignore", invalid="ignore"):
            for side in sides:
                off = np.abs(as_float64(side).reshape(eager.shape) - meant)
                masks &= off <= _SAME_MASK * _unit(pairs) * np.abs(meant)
        made, eager, *rest = (masked(side, masks) for side in sides)
        pairs[number], exact[number : number + 1] = (made, eager), rest
    return pairs, exact


def _unit(pairs: list[tuple[Array, Array]]) -> float:
    """Half a unit in the last place of 1, of the outputs' type."""
    return roundoff(pairs[0][1].dtype.name)


def _constant(verdict: Verdict, pairs: list[tuple[Array, Array]], cap: Allowance) -> Verdict:
    """A single number, or one that is everywhere the same: as far off as it may be.

    A constant in its place would look alike here; the two links tell the difference.
    """
    meant = np.concatenate([as_float64(reference).reshape(-1) for _, reference in pairs])
    made = np.concatenate([as_float64(candidate).reshape(-1) for candidate, _ in pairs])
    if not meant.size or not np.isfinite(meant).all() or (meant != meant[0]).any():
        return verdict
    off, _ = difference(made, meant)
    gate = Gate("max abs", off, cap.max_abs, "of scale")
    status = Status.PASS if gate.passed else Status.FAIL
    summary = f"{meant[0]:.6g} in all {words.count(meant.size, 'element')}, to {off:.1e} of it"
    notes = () if gate.passed else (f"Allowances: {cap.source}.",)
    return dataclasses.replace(
        verdict, status=status, summary=summary, gates=(gate,), elements=meant.size, notes=notes
    )


def _cap(
    pairs: list[tuple[Array, Array]], exact: list[Array], own: float, multiples: Multiples
) -> Allowance:
    """The most that outputs may differ from eager's, from what eager itself loses."""
    least = 4 * _unit(pairs)
    scale = max((float(np.abs(_finite(x)).max(initial=0.0)) for x in exact), default=0.0)
    peaks = [
        float(np.abs(_finite(as_float64(e) - as_float64(x))).max(initial=0.0))
        for (_, e), x in zip(pairs, exact, strict=False)
    ]
    peak = max(peaks, default=0.0) / scale if scale else 0.0
    rms = multiples.rms * max(own, least)
    return Allowance(
        max_abs=(multiples.peak + 1) * max(peak, least),
        rms=10 * rms,
        gain=rms,
        source=f"{multiples.peak:.3g} times the greatest error that eager itself makes",
    )


def _finite(value: Array) -> Array:
    value = as_float64(value)
    return value[np.isfinite(value)]
