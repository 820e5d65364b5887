"""Judge a candidate tensor, or the tensors of many calls, against the reference.

Three gates, each for what the others are blind to: max abs sees one wrong element among
millions, RMS error sees a small error everywhere, gain error sees a scale that is slightly off.
Over several calls, RMS and gain are judged once over all of them and once more on the worst call,
so that three hundred good calls cannot average a bad one away.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.arrays import Array
from harness.compare import words
from harness.compare.metrics import (
    CallSums,
    TensorMetrics,
    as_float64,
    reduce_call,
    total,
    unravel,
)
from harness.compare.verdict import Gate, Metric, Status, Verdict

__all__ = ["Allowance", "Pair", "judge", "judge_many"]

Pair = tuple[Array, Array]
"""A candidate and its reference."""


@dataclass(frozen=True)
class Allowance:
    """How far a candidate may be from its reference; 0 means exactly equal.

    Attributes
    ----------
    max_abs
        Greatest difference, in units of the reference's greatest magnitude.
    rms
        RMS of the error, in units of the reference's RMS.
    gain
        Distance of the regression's slope from 1.
    source
        Where the numbers come from; a report quotes it.
    masked
        Whether the reference may hold −inf (masked logits), which must then match exactly.
    """

    max_abs: float
    rms: float
    gain: float
    source: str
    masked: bool = False

    def __post_init__(self) -> None:
        for name in ("max_abs", "rms", "gain"):
            value = getattr(self, name)
            if not 0 <= value < math.inf:
                raise ValueError(f"Allowance.{name} must be finite and 0 or more (got {value})")
        if not self.source.strip():
            raise ValueError("Allowance.source must say where the numbers come from")


def judge(
    subject: str, case: str, candidate: Array, reference: Array, allowance: Allowance
) -> Verdict:
    """Judge one tensor.

    Returns
    -------
    Verdict
        *fail* where dtype or shape differ, where the candidate is not finite exactly where the
        reference is, or where a gate is missed; *unjudged* where the reference itself holds
        NaN, +inf or an unannounced −inf, has no finite element, or is constant (a right export
        and a constant would look alike).
    """
    return judge_many(subject, case, [(candidate, reference)], allowance)


def judge_many(subject: str, case: str, pairs: Sequence[Pair], allowance: Allowance) -> Verdict:
    """Judge all calls of one method as one; `pairs` holds (candidate, reference) in call order.

    As `judge`, and besides: no pair at all is *unjudged*; `worst_index` begins with the number
    of the call; a call may be constant as long as the calls together are not.
    """
    pairs = [(np.asarray(candidate), np.asarray(reference)) for candidate, reference in pairs]
    verdict = Verdict(subject, case, "tensor", Status.UNJUDGED, "nothing was compared: no calls")
    if not pairs:
        return verdict
    unlike = [k for k, (c, r) in enumerate(pairs) if c.dtype != r.dtype or c.shape != r.shape]
    if unlike:
        return dataclasses.replace(
            verdict, status=Status.FAIL, summary=_describe_form(pairs, unlike)
        )
    calls = [reduce_call(candidate, reference) for candidate, reference in pairs]
    metrics = total(calls)
    gates = _gates(metrics, calls, allowance)
    verdict = dataclasses.replace(
        verdict, metrics=_facts(metrics, gates, allowance), elements=metrics.elements
    )
    whole = metrics.elements == metrics.size
    bad = None if whole else _bad_reference(pairs, allowance)
    if bad:
        return dataclasses.replace(verdict, summary=bad, notes=(_BAD_REFERENCE,))
    broken = None if whole else _broken_pattern(pairs)
    if broken:
        gate = Gate("non-finite", broken[0], 0, "elements")
        return dataclasses.replace(verdict, status=Status.FAIL, summary=broken[1], gates=(gate,))
    if not metrics.elements:
        what = "no element" if not metrics.size else "no finite element"
        return dataclasses.replace(verdict, summary=f"nothing was compared: {what}")
    if metrics.low == metrics.high:
        summary = (
            f"the reference is constant ({words.number(metrics.low)} in all "
            f"{words.count(metrics.elements, 'element')})"
        )
        return dataclasses.replace(verdict, summary=summary, notes=(_CONSTANT,))
    passed = all(gate.passed for gate in gates)
    return dataclasses.replace(
        verdict,
        status=Status.PASS if passed else Status.FAIL,
        summary=_describe(metrics, gates, allowance),
        gates=gates,
        notes=() if passed else (f"Allowances: {allowance.source}.",),
    )


_BAD_REFERENCE = "The eager run itself is broken for this input: look at checkpoint and inputs."
_CONSTANT = "Judge this method on an input that makes its output vary."


def _describe_form(pairs: Sequence[Pair], unlike: Sequence[int]) -> str:
    candidate, reference = pairs[unlike[0]]
    where = f" in {len(unlike)} of {len(pairs)} calls, first call {unlike[0]}"
    return (
        f"expected {reference.dtype.name} {words.shape(reference.shape)}, "
        f"got {candidate.dtype.name} {words.shape(candidate.shape)}"
        f"{where if len(pairs) > 1 else ''}"
    )


def _bad_reference(pairs: Sequence[Pair], allowance: Allowance) -> str | None:
    """What is wrong with the reference, or None."""
    for call, (_, reference) in enumerate(pairs):
        r = as_float64(reference)
        bad = ~np.isfinite(r) & ~(allowance.masked & (r == -np.inf))
        if bad.any():
            first = int(bad.argmax())
            return (
                f"the reference itself is not finite: {words.number(r[first])} at "
                f"{_place(pairs, call, first)}, {words.count(int(bad.sum()), 'element')} in all"
            )
    return None


def _broken_pattern(pairs: Sequence[Pair]) -> tuple[int, str] | None:
    """How many elements are non-finite on one side only, or in another way, and the words."""
    count, nans, first = 0, 0, ""
    for call, (candidate, reference) in enumerate(pairs):
        c, r = as_float64(candidate), as_float64(reference)
        broken = ~((np.isfinite(c) & np.isfinite(r)) | (c == r))
        if broken.any() and not first:
            at = int(broken.argmax())
            first = (
                f"first at {_place(pairs, call, at)}: expected {words.number(r[at])}, "
                f"got {words.number(c[at])}"
            )
        count += int(broken.sum())
        nans += int(np.isnan(c).sum())
    if not count:
        return None
    size = sum(reference.size for _, reference in pairs)
    return count, f"{count:,} of {size:,} elements differ in being finite ({nans:,} NaN), {first}"


def _place(pairs: Sequence[Pair], call: int, flat: int) -> str:
    position = unravel(flat, pairs[call][1].shape)
    return words.place((call, *position), called=True) if len(pairs) > 1 else words.place(position)


def _gates(
    metrics: TensorMetrics, calls: Sequence[CallSums], allowance: Allowance
) -> tuple[Gate, ...]:
    gates = [
        Gate("max abs", metrics.max_abs_scaled, allowance.max_abs, "of scale"),
        Gate("RMS error", metrics.rms_scaled, allowance.rms, "of reference RMS"),
        Gate("gain error", abs(metrics.gain - 1.0), allowance.gain, "from 1"),
    ]
    if len(calls) > 1:
        for name, values, allowed, unit in (
            ("RMS error", [call.rms for call in calls], allowance.rms, "of that call's RMS"),
            ("gain error", [call.gain_gap for call in calls], allowance.gain, "from 1"),
        ):
            at, worst = _worst(values)
            gates.append(Gate(f"{name}, worst call", worst, allowed, unit, f"call {at}"))
    return tuple(gates)


def _facts(
    metrics: TensorMetrics, gates: Sequence[Gate], allowance: Allowance
) -> dict[str, Metric]:
    """Every metric, and the smallest allowance that would have passed, for the report."""
    facts = dataclasses.asdict(metrics) | {"max_abs_scaled": metrics.max_abs_scaled}
    for name in ("low", "high", "elements"):
        del facts[name]
    for name, start in (("least_max_abs", "max"), ("least_rms", "RMS"), ("least_gain", "gain")):
        facts[name] = _worst([gate.value for gate in gates if gate.name.startswith(start)])[1]
    facts["allowance"] = allowance.source
    return {name: fact for name, fact in facts.items() if fact is not None}


def _worst(values: Sequence[float]) -> tuple[int, float]:
    """Position and value of the greatest; NaN counts as the greatest."""
    at = int(np.argmax(values))
    return at, float(values[at])


def _describe(metrics: TensorMetrics, gates: Sequence[Gate], allowance: Allowance) -> str:
    """One sentence: the greatest difference, and by name whatever else was missed."""
    if metrics.bit_equal == metrics.size:
        return f"{words.count(metrics.size, 'element')}, all equal bit for bit"
    assert metrics.worst_index is not None
    place = words.place(metrics.worst_index, called=metrics.calls > 1)
    allowed = words.number(allowance.max_abs * metrics.scale)
    missed = [f"{gate.name} {words.number(gate.value)}" for gate in gates[1:] if not gate.passed]
    return (
        f"greatest difference {words.number(metrics.max_abs)} at {place}, up to {allowed} allowed"
        f"{'; missed: ' if missed else ''}{'; '.join(missed)}"
    )
