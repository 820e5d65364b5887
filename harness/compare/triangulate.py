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

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from harness.arrays import Array
from harness.compare import words
from harness.compare.metrics import as_float64
from harness.compare.verdict import Gate, Metric, Status, Verdict

__all__ = ["CASE", "BackendResult", "CaseResult", "Finding", "distance", "find", "triangulate"]

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
    """What one lowering made of a case: its verdict against eager, and an output a call.

    `outputs` is None where it refused to run.
    """

    verdict: Verdict
    outputs: Sequence[Array] | None

    @property
    def agrees(self) -> bool:
        """Whether it equals eager within its allowance."""
        return self.verdict.status is Status.PASS


@dataclass(frozen=True)
class CaseResult:
    """One case seen by all three: the inputs' label, eager's outputs, and each lowering's."""

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


_WORDS = {
    Finding.AGREE: "all three agree in {cases}; at most, MLX is {mlx} of the RMS from eager, "
    "XNNPACK {xnnpack}, one from the other {mutual}",
    Finding.MLX: "XNNPACK agrees with eager ({xnnpack} of the RMS) and MLX does not ({mlx}): the "
    "lowering to MLX is wrong, or what ran it",
    Finding.EXPORT: "MLX and XNNPACK agree with each other ({mutual} of the RMS) and not with "
    "eager ({mlx} and {xnnpack}): the export is wrong, in what both lowerings start from",
    Finding.APART: "MLX ({mlx} of the RMS) and XNNPACK ({xnnpack}) both differ from eager, and "
    "from each other ({mutual}): more than one cause",
    Finding.XNNPACK: "MLX agrees with eager ({mlx} of the RMS) and XNNPACK does not ({xnnpack}): "
    "MLX is right here, and XNNPACK cannot confirm it",
}


def find(result: CaseResult) -> Finding:
    """Who stands apart in one case."""
    mlx, xnnpack = result.mlx, result.xnnpack
    if mlx.agrees:
        return Finding.AGREE if xnnpack.agrees else Finding.XNNPACK
    if xnnpack.agrees:
        return Finding.MLX
    *to_eager, mutual = _distances(result)
    alike = mutual <= ALIKE * min(to_eager) and mutual < math.inf
    return Finding.EXPORT if alike else Finding.APART


def triangulate(subject: str, results: Sequence[CaseResult], notes: Sequence[str] = ()) -> Verdict:
    """One verdict on all cases of the method `subject`; the gravest finding decides.

    Cases whose reference cannot judge anything are left out. The verdict, of kind
    ``"triangulation"``, is *unjudged* where nothing was compared, where XNNPACK alone differs
    from eager, or where all agree in the cases that ran and others did not run. `notes` are shown
    where the finding is not agreement.
    """
    judged = [
        result
        for result in results
        if Status.UNJUDGED not in (result.mlx.verdict.status, result.xnnpack.verdict.status)
    ]
    stopped = "".join(
        f"; not run by {side}: {', '.join(labels)}"
        for side, labels in (
            ("MLX", [r.label for r in results if _unjudged(r.mlx) == "execution"]),
            ("XNNPACK", [r.label for r in results if _unjudged(r.xnnpack) == "execution"]),
        )
        if labels
    )
    nothing = f"nothing was compared: no judgeable case{stopped}"
    verdict = Verdict(subject, CASE, "triangulation", Status.UNJUDGED, nothing)
    if not judged:
        return verdict
    gravest = list(Finding)
    findings = [find(result) for result in judged]
    finding = min(findings, key=gravest.index)
    concerned = [s for s, found in zip(judged, findings, strict=True) if found is finding]
    worst = max(concerned, key=lambda s: max(_used(s.mlx), _used(s.xnnpack)))
    mlx, xnnpack, mutual = _distances(worst)
    metrics: dict[str, Metric] = {
        "owner": finding.value,
        "cases": len(judged),
        "cases_concerned": len(concerned),
        "worst_case": worst.label,
        "mlx_from_eager_rms": mlx,
        "xnnpack_from_eager_rms": xnnpack,
        "mlx_from_xnnpack_rms": mutual,
    }
    what = _WORDS[finding].format(
        mlx=words.number(mlx),
        xnnpack=words.number(xnnpack),
        mutual=words.number(mutual),
        cases=words.count(len(judged), "case"),
    )
    if finding is not Finding.AGREE:
        what += f"; {worst.label}, {len(concerned)} of {words.count(len(judged), 'case')}"
    what += stopped
    agree = Status.UNJUDGED if stopped else Status.PASS
    status = {Finding.AGREE: agree, Finding.XNNPACK: Status.UNJUDGED}
    return dataclasses.replace(
        verdict,
        status=status.get(finding, Status.FAIL),
        summary=what,
        metrics=metrics,
        gates=(
            Gate("MLX from eager", _used(worst.mlx), 1.0, "of its allowance", worst.label),
            Gate("XNNPACK from eager", _used(worst.xnnpack), 1.0, "of its allowance", worst.label),
        ),
        elements=sum(output.size for s in judged for output in s.eager),
        notes=tuple(notes) if finding is not Finding.AGREE else (),
    )


def _unjudged(backend: BackendResult) -> str:
    """The kind of a backend's verdict that judges nothing; empty of one that does."""
    return backend.verdict.kind if backend.verdict.status is Status.UNJUDGED else ""


def _used(backend: BackendResult) -> float:
    """Headroom that a backend used; infinite where it failed and no number says by how much."""
    used = backend.verdict.headroom_telling
    return used if backend.agrees or used > 1.0 else math.inf


def _distances(result: CaseResult) -> tuple[float, float, float]:
    """MLX from eager, XNNPACK from eager, one from the other, over the RMS of eager."""
    values = np.concatenate([as_float64(output) for output in result.eager])
    finite = values[np.isfinite(values)]
    unit = math.sqrt(float(np.mean(np.square(finite)))) if np.any(finite) else 1.0
    mlx, xnnpack = result.mlx.outputs, result.xnnpack.outputs
    return (
        distance(mlx, result.eager, unit),
        distance(xnnpack, result.eager, unit),
        distance(mlx, xnnpack, unit),
    )
