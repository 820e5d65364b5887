"""16-bit codes: of two WAV files, and of a WAV file beside the floats it was cast from."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.arrays import Array
from harness.compare import words
from harness.compare.tensors import Allowance
from harness.compare.verdict import Gate, Metric, Status, Verdict
from harness.compare.waveforms import levels, rms, to_pcm16

__all__ = ["cast_fault", "judge_pcm"]


def judge_pcm(
    subject: str,
    case: str,
    candidate: NDArray[np.int16],
    reference: NDArray[np.int16],
    allowance: Allowance,
    sample_rate: int,
) -> Verdict:
    """Judge 16-bit codes as `judge_waveform` judges the floats they were cast from.

    Parameters
    ----------
    candidate, reference
        Codes of two WAV files.
    allowance
        Of the floats. The cast drops fractions, so that each gate allows one step more: two
        floats that are d steps apart become codes that are at most ``floor(d) + 1`` apart.
    sample_rate
        In Hz, for the verdict's metrics.

    Returns
    -------
    Verdict
        *fail* where lengths differ or a gate is missed, *unjudged* where the reference is empty
        or constant: silence would look like any other silence.
    """
    metrics: dict[str, Metric] = {"sample_rate": sample_rate}
    for name, codes in (("candidate", candidate), ("reference", reference)):
        if codes.size:
            told = dataclasses.asdict(levels(codes))
            metrics |= {f"{name}.pcm16.{key}": value for key, value in told.items()}

    def verdict(status: Status, summary: str, *gates: Gate, **rest: Any) -> Verdict:
        return Verdict(subject, case, "pcm", status, summary, metrics, gates, **rest)

    if candidate.size != reference.size:
        summary = f"{candidate.size:,} samples, the reference {reference.size:,}"
        gate = Gate("samples", abs(candidate.size - reference.size), 0, "samples")
        return verdict(Status.FAIL, summary, gate)
    if not reference.size:
        return verdict(Status.UNJUDGED, "nothing was compared: no samples")
    if reference.min() == reference.max():
        summary = f"the reference is constant ({int(reference[0])} in all {reference.size:,} codes)"
        return verdict(Status.UNJUDGED, summary)
    ours, theirs = candidate.astype(np.float64), reference.astype(np.float64)
    error = ours - theirs
    level, greatest = rms(theirs), float(np.abs(error).max())
    gates = (
        Gate("16-bit codes", greatest,
             math.floor(allowance.max_abs * float(np.abs(theirs).max())) + 1, "LSB"),
        Gate("RMS error", rms(error), allowance.rms * level + 1, "LSB"),
        Gate("gain error", abs(float(ours @ theirs) / float(theirs @ theirs) - 1),
             allowance.gain + 1 / level),
    )  # fmt: skip
    differing, worst = int((error != 0).sum()), int(np.abs(error).argmax())
    metrics |= {"differing": differing, "worst_index": (worst,)}
    where = f", the most at sample {worst:,}" if differing else ""
    missed = [gate for gate in gates if not gate.passed]
    summary = (
        f"{differing:,} of {words.count(error.size, 'code')} differ, by at most "
        f"{words.number(greatest)} LSB{where}"
    ) + "".join(
        f"; {gate.name} {words.number(gate.value)}, up to {words.number(gate.allowed)} allowed"
        for gate in missed
    )
    notes = (f"Allowances: {allowance.source}; and one step for the cast.",) if missed else ()
    status = Status.FAIL if missed else Status.PASS
    return verdict(status, summary, *gates, elements=int(reference.size), notes=notes)


def cast_fault(waveform: Array, pcm: NDArray[np.int16]) -> str:
    """How 16-bit codes differ from those that upstream makes of the floats; empty: in nothing.

    Upstream's rule is `to_pcm16`: clamp to ±1, times 32767, towards zero. Where one of the usual
    mistakes explains every code, it is named.
    """
    samples = np.asarray(waveform).astype(np.float32).reshape(-1)
    broken = int(np.isnan(samples).sum())
    if broken or samples.size != pcm.size:
        return f"{pcm.size:,} codes of {samples.size:,} floats, {broken:,} of them NaN"
    error = pcm.astype(np.int32) - to_pcm16(samples)
    wrong = np.flatnonzero(error)
    if not wrong.size:
        return ""
    why = [name for name, cast in _MISTAKES.items() if np.array_equal(cast(samples), pcm)]
    return (
        f"{wrong.size:,} of {words.count(pcm.size, 'code')} are not as upstream casts the floats, "
        f"by at most {np.abs(error).max():,} LSB, first at sample {wrong[0]:,} "
        f"({samples[wrong[0]]:.7g} → {pcm[wrong[0]]})" + "".join(f": {name}" for name in why[:1])
    )


def _cast(codes: NDArray[np.floating]) -> NDArray[np.int16]:
    return np.clip(codes, -32768, 32767).astype(np.int16)


_MISTAKES: Mapping[str, Callable[[NDArray[np.float32]], NDArray[np.int16]]] = {
    "rounded to the nearest code": lambda x: _cast(np.rint(np.clip(x, -1, 1) * np.float32(32767))),
    "scaled by 32768": lambda x: _cast(np.trunc(x * np.float32(32768))),
    "scaled by 32768 and rounded": lambda x: _cast(np.rint(x * np.float32(32768))),
    "wrapped instead of clipped": lambda x: (
        np.clip(x * np.float32(32767), -2e9, 2e9).astype(np.int64).astype(np.int16)
    ),
}
"""Other ways to make codes of floats, by what is wrong with them."""
