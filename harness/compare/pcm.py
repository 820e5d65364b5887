"""Two WAV files, code by code: all that can be seen of a program that tells no floats."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

from harness.compare import words
from harness.compare.tensors import Allowance
from harness.compare.verdict import Gate, Metric, Status, Verdict
from harness.compare.waveforms import PCM16_FULL_SCALE, levels, rms

__all__ = ["judge_pcm"]


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
    verdict = Verdict(subject, case, "pcm", Status.UNJUDGED, "nothing was compared: no samples")
    metrics: dict[str, Metric] = {"sample_rate": sample_rate}
    for name, codes in (("candidate", candidate), ("reference", reference)):
        if codes.size:
            told = dataclasses.asdict(levels(codes))
            metrics |= {f"{name}.pcm16.{key}": value for key, value in told.items()}
    verdict = dataclasses.replace(verdict, metrics=metrics)
    if candidate.size != reference.size:
        gate = Gate("samples", abs(candidate.size - reference.size), 0, "samples")
        summary = f"{candidate.size:,} samples, the reference {reference.size:,}"
        return dataclasses.replace(verdict, status=Status.FAIL, summary=summary, gates=(gate,))
    if not reference.size:
        return verdict
    if reference.min() == reference.max():
        summary = f"the reference is constant ({int(reference[0])} in all {reference.size:,} codes)"
        return dataclasses.replace(verdict, summary=summary)
    ours, theirs = candidate.astype(np.float64), reference.astype(np.float64)
    error = ours - theirs
    level = rms(theirs)
    greatest = np.abs(error).max()
    clipped = (np.abs(codes) >= PCM16_FULL_SCALE for codes in (ours, theirs))
    gates = (
        Gate("16-bit codes", float(greatest),
             math.floor(allowance.max_abs * float(np.abs(theirs).max())) + 1, "LSB"),
        Gate("RMS error", rms(error), allowance.rms * level + 1, "LSB"),
        Gate("gain error", abs(float(ours @ theirs) / float(theirs @ theirs) - 1),
             allowance.gain + 1 / level),
        Gate("clipped samples", abs(int(np.subtract(*(c.sum() for c in clipped)))), 0, "samples"),
    )  # fmt: skip
    differing, worst = int((error != 0).sum()), int(np.abs(error).argmax())
    metrics |= {"differing": differing, "worst_index": (worst,)}
    where = f", the most at sample {worst:,}" if differing else ""
    missed = [gate for gate in gates if not gate.passed]
    summary = (
        f"{differing:,} of {words.count(error.size, 'code')} differ, by at most "
        f"{words.number(float(greatest))} LSB{where}"
    ) + "".join(
        f"; {gate.name} {words.number(gate.value)}, up to {words.number(gate.allowed)} allowed"
        for gate in missed
    )
    return dataclasses.replace(
        verdict,
        status=Status.FAIL if missed else Status.PASS,
        summary=summary,
        metrics=metrics,
        gates=gates,
        elements=int(reference.size),
        notes=(f"Allowances: {allowance.source}; and one step for the cast.",) if missed else (),
    )
