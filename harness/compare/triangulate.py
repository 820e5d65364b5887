"""Whose fault is it? Eager, MLX and XNNPACK on the same inputs, and who stands apart from whom.

==================  ==============  =======================================================
MLX against eager   XNNPACK …       finding
==================  ==============  =======================================================
agrees              agrees          `Finding.AGREE`: pass
differs             agrees          `Finding.MLX`: the lowering to MLX, or what ran it
differs             differs alike   `Finding.EXPORT`: what both have in common, the export
differs             differs else    `Finding.APART`: more than one cause; fail, names no owner
agrees              differs         `Finding.XNNPACK`: MLX is right, and nothing confirms it
==================  ==============  =======================================================

The last one is *unjudged*: a green verdict would claim a confirmation that there is not, a red one
would blame an MLX export that was proved equal to eager.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from harness.arrays import Array
from harness.compare import words
from harness.compare.metrics import as_float64
from harness.compare.verdict import Gate, Metric, Status, Verdict

__all__ = [
    "CASE",
    "BackendResult",
    "CaseResult",
    "Finding",
    "distance",
    "find",
    "headroom",
    "triangulate",
]

CASE = "MLX vs XNNPACK vs eager"

ALIKE = 0.1
"""Mutual distance, as a share of the smaller distance to eager, up to which two errors are one.

Two independent errors of equal size are √2 of it apart; at a tenth, the part that the two do not
share is at most 1 % of the error's power.
"""


class Finding(Enum):
    """Who stands apart; in the order in which several cases of one method are summed up."""

    MLX = "the MLX lowering"
    EXPORT = "the export"
    APART = "more than one cause"
    XNNPACK = "XNNPACK alone"
    AGREE = "none"


@dataclass(frozen=True)
class BackendResult:
    """What one lowering made of a case.

    Attributes
    ----------
    verdict
        The judgement of it against eager.
    outputs
        One a call; None where it refused to run.
    """

    verdict: Verdict
    outputs: Sequence[Array] | None

    @property
    def agrees(self) -> bool:
        """Whether it equals eager within its allowance."""
        return self.verdict.status is Status.PASS


@dataclass(frozen=True)
class CaseResult:
    """One case seen by all three.

    Attributes
    ----------
    label
        Which inputs.
    eager
        The reference's outputs, one a call.
    mlx, xnnpack
        What each lowering made of it.
    """

    label: str
    eager: Sequence[Array]
    mlx: BackendResult
    xnnpack: BackendResult


def distance(some: Sequence[Array] | None, others: Sequence[Array] | None, unit: float) -> float:
    """RMS of the difference over all calls, in units of `unit`.

    Infinite where either side has no outputs, or where number, type, shape or the places of
    non-finite elements differ; those places count as equal where they are.
    """
    if some is None or others is None or len(some) != len(others):
        return math.inf
    total, count = 0.0, 0
    for one, other in zip(some, others, strict=True):
        if one.shape != other.shape or one.dtype != other.dtype:
            return math.inf
        a, b = as_float64(one), as_float64(other)
        finite = np.isfinite(a)
        if not np.array_equal(a[~finite], b[~finite], equal_nan=True) or (
            not np.array_equal(finite, np.isfinite(b))
        ):
            return math.inf
        total += float(np.sum(np.square(a[finite] - b[finite])))
        count += int(finite.sum())
    return math.sqrt(total / count) / unit if count else math.inf


def headroom(verdict: Verdict) -> float:
    """The most that a gate used of its allowance; NaN if one measured NaN.

    A step of one 16-bit code is all of "up to 1 LSB" and no news, so it counts only if it fails.
    """
    used = [gate.headroom_used for gate in verdict.gates if gate.unit != "LSB" or not gate.passed]
    return max(used, key=lambda x: (x != x, x), default=0.0)


def find(result: CaseResult) -> Finding:
    """Who stands apart in one case."""
    mlx, xnnpack = result.mlx, result.xnnpack
    if mlx.agrees:
        return Finding.AGREE if xnnpack.agrees else Finding.XNNPACK
    if xnnpack.agrees:
        return Finding.MLX
    mutual, nearer = _mutual(result), min(_to_eager(result))
    return Finding.EXPORT if mutual <= ALIKE * nearer and mutual < math.inf else Finding.APART


def triangulate(subject: str, results: Sequence[CaseResult], notes: Sequence[str] = ()) -> Verdict:
    """One verdict on all cases of a method; the gravest finding decides.

    Parameters
    ----------
    subject
        Name of the method.
    results
        Its cases; those whose reference cannot judge anything are left out.
    notes
        Shown where the finding is not agreement.

    Returns
    -------
    Verdict
        Of kind ``"triangulation"``. *unjudged* where nothing was compared, or where XNNPACK
        alone differs from eager.
    """
    judged = [
        result
        for result in results
        if Status.UNJUDGED not in (result.mlx.verdict.status, result.xnnpack.verdict.status)
    ]
    verdict = Verdict(
        subject, CASE, "triangulation", Status.UNJUDGED, "nothing was compared: no judgeable case"
    )
    if not judged:
        return verdict
    gravest = list(Finding)
    findings = [find(result) for result in judged]
    finding = min(findings, key=gravest.index)
    concerned = [s for s, found in zip(judged, findings, strict=True) if found is finding]
    worst = max(concerned, key=lambda s: max(_used(s.mlx), _used(s.xnnpack)))
    status = {Finding.AGREE: Status.PASS, Finding.XNNPACK: Status.UNJUDGED}.get(
        finding, Status.FAIL
    )
    return Verdict(
        subject,
        CASE,
        "triangulation",
        status,
        _summary(finding, worst, len(concerned), len(judged)),
        metrics=_facts(finding, worst, len(concerned), len(judged)),
        gates=(
            Gate("MLX from eager", _used(worst.mlx), 1.0, "of its allowance", worst.label),
            Gate("XNNPACK from eager", _used(worst.xnnpack), 1.0, "of its allowance", worst.label),
        ),
        elements=sum(output.size for s in judged for output in s.eager),
        notes=tuple(notes) if finding is not Finding.AGREE else (),
    )


def _used(backend: BackendResult) -> float:
    """Headroom that a backend used; infinite where it failed and no number says by how much."""
    used = headroom(backend.verdict)
    return used if backend.agrees or used > 1.0 else math.inf


def _unit(result: CaseResult) -> float:
    """RMS of eager's outputs; 1 where that is 0."""
    values = np.concatenate([as_float64(output) for output in result.eager])
    finite = values[np.isfinite(values)]
    return math.sqrt(float(np.mean(np.square(finite)))) if np.any(finite) else 1.0


def _to_eager(result: CaseResult) -> tuple[float, float]:
    unit = _unit(result)
    return (
        distance(result.mlx.outputs, result.eager, unit),
        distance(result.xnnpack.outputs, result.eager, unit),
    )


def _mutual(result: CaseResult) -> float:
    return distance(result.mlx.outputs, result.xnnpack.outputs, _unit(result))


def _facts(finding: Finding, worst: CaseResult, concerned: int, cases: int) -> dict[str, Metric]:
    mlx, xnnpack = _to_eager(worst)
    return {
        "owner": finding.value,
        "cases": cases,
        "cases_concerned": concerned,
        "worst_case": worst.label,
        "mlx_from_eager_rms": mlx,
        "xnnpack_from_eager_rms": xnnpack,
        "mlx_from_xnnpack_rms": _mutual(worst),
    }


def _summary(finding: Finding, worst: CaseResult, concerned: int, cases: int) -> str:
    mlx, xnnpack = map(words.number, _to_eager(worst))
    mutual = words.number(_mutual(worst))
    if finding is Finding.AGREE:
        return (
            f"all three agree in {words.count(cases, 'case')}; at most, MLX is {mlx} of the RMS "
            f"from eager, XNNPACK {xnnpack}, one from the other {mutual}"
        )
    what = {
        Finding.MLX: f"XNNPACK agrees with eager ({xnnpack} of the RMS) and MLX does not ({mlx}): "
        "the lowering to MLX is wrong, or what ran it",
        Finding.EXPORT: f"MLX and XNNPACK agree with each other ({mutual} of the RMS) and not "
        f"with eager ({mlx} and {xnnpack}): the export is wrong, in what both lowerings start from",
        Finding.APART: f"MLX ({mlx} of the RMS) and XNNPACK ({xnnpack}) both differ from eager, "
        f"and from each other ({mutual}): more than one cause",
        Finding.XNNPACK: f"MLX agrees with eager ({mlx} of the RMS) and XNNPACK does not "
        f"({xnnpack}): MLX is right here, and XNNPACK cannot confirm it",
    }[finding]
    return f"{what}; {worst.label}, {concerned} of {words.count(cases, 'case')}"
