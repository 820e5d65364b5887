"""Two decodings of the same codes: equal where both had their context, bounded where not."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from harness.arrays import Array
from harness.compare import words
from harness.compare.tensors import Allowance, judge
from harness.compare.verdict import Gate, Metric, Status, Verdict
from harness.compare.waveforms import dbfs

__all__ = ["judge_streaming"]


def judge_streaming(
    subject: str,
    case: str,
    streamed: Array,
    offline: Array,
    allowance: Allowance,
    *,
    frame_samples: int,
    short_of_context: Sequence[int],
) -> Verdict:
    """Judge a streamed waveform against the same codes decoded offline.

    Parameters
    ----------
    streamed, offline
        Waveforms, float32, full scale ±1.
    allowance
        Of the codec's samples, for those whose context both decodings had.
    frame_samples, short_of_context
        Samples of one frame, and the frames to which one of the two gave less context than the
        codec looks back. These cannot be equal; elsewhere nothing may differ.

    Returns
    -------
    Verdict
        `tensors.judge`'s on the samples with context. Where some lack it, the metrics tell
        their greatest difference, and a gate keeps it below twice the peak: two sounds of the
        same level, if of different phase, differ by no more.
    """
    streamed, offline = np.asarray(streamed), np.asarray(offline)
    if streamed.size != offline.size or not offline.size:
        summary = f"{streamed.size:,} samples streamed, {offline.size:,} offline"
        return Verdict(subject, case, "waveform", Status.FAIL, summary)
    broken = ~(np.isfinite(streamed) & np.isfinite(offline))
    if broken.any():
        first = int(broken.argmax())
        summary = f"{words.count(int(broken.sum()), 'sample')} not finite, the first {first:,}"
        return Verdict(subject, case, "waveform", Status.FAIL, summary)
    short = np.zeros(offline.size // frame_samples, bool)
    short[list(short_of_context)] = True
    samples, lacking = np.repeat(short, frame_samples), int(short.sum())
    if samples.all():
        summary = "no sample has its context in both decodings"
        return Verdict(subject, case, "waveform", Status.UNJUDGED, summary)
    verdict = judge(subject, case, streamed[~samples], offline[~samples], allowance)
    gates, metrics = list(verdict.gates), dict[str, Metric](verdict.metrics)
    metrics |= {"frames": len(short), "frames_without_context": lacking}
    summary = verdict.summary
    if lacking:
        error = np.abs(streamed[samples].astype(np.float64) - offline[samples])
        peak, worst = float(np.abs(offline).max()), float(error.max())
        gates.append(Gate("at seams without context", worst, 2 * peak, "of full scale"))
        rms = float(np.sqrt((error**2).mean()))
        metrics |= {"seam.max_abs": worst, "seam.rms_dbfs": dbfs(rms)}
        summary += (
            f"; {words.count(lacking, 'frame')} without context in one of them differ by "
            f"up to {words.number(worst)} of full scale"
        )
    status = verdict.status
    if status is Status.PASS and not all(gate.passed for gate in gates):
        status = Status.FAIL
    return dataclasses.replace(
        verdict,
        kind="waveform",
        status=status,
        summary=summary,
        metrics=metrics,
        gates=tuple(gates),
    )
