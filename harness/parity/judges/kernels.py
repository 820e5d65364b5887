"""The verdict on the machine: kernels whose results no regime of arithmetic explains."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable

from harness.compare import Status, Verdict, words
from harness.fingerprint import Fingerprint
from harness.golden.judge import STATISTICS
from harness.golden.pins import COMPUTED
from harness.parity.judges.links import IN_FLOAT64
from harness.parity.judges.values import LOWERING

__all__ = ["excused", "judge_kernels", "with_kernels"]

_RAN = ("waveform", "pcm", "codes", "repeat", "local", "triangulation")
"""Kinds of verdict on nothing but values that an executor made."""


def judge_kernels(used: Collection[str], executor: Fingerprint) -> list[Verdict]:
    """*Unjudged* if a kernel that a program may use is wrong: no fault of the program's.

    Parameters
    ----------
    used
        Names of the types that it computes in, beside float32, which every program may use.
    executor
        What ran it, with what its kernels made of known inputs.
    """
    regime = executor.measured
    types = {"float32", *used}
    faults = [fault for fault in regime.faults if fault.dtype in types] if regime else []
    if regime is None or not faults:
        return []
    summary = (
        f"{words.count(len(faults), 'kernel')} of this machine gave wrong results on known inputs, "
        f"the first {faults[0]}"
    )
    notes = (
        *(f"{str(fault)[:1].upper()}{str(fault)[1:]}." for fault in faults[1:]),
        "What failed beside it may be the machine's fault, and is unjudged: run it on another one.",
    )
    return [
        Verdict(
            "machine", "kernels", "regime", Status.UNJUDGED, summary,
            elements=regime.canaries, notes=notes,
        )
    ]  # fmt: skip


def with_kernels(
    verdicts: Iterable[Verdict], used: Collection[str], executor: Fingerprint
) -> list[Verdict]:
    """`verdicts`; where a kernel is wrong, the verdict that says so, then `verdicts` excused."""
    faults = judge_kernels(used, executor)
    return [*faults, *(excused(verdicts) if faults else verdicts)]


def excused(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """`verdicts` of a machine with wrong kernels: what failed there was not the program's doing.

    What a file says, what eager computes, and passes, stay as they are.
    """
    return [
        dataclasses.replace(verdict, status=Status.UNJUDGED)
        if verdict.status is Status.FAIL and _of_values(verdict)
        else verdict
        for verdict in verdicts
    ]


def _of_values(verdict: Verdict) -> bool:
    """Whether a verdict depends on values that an executor computed."""
    if verdict.kind == "tensor":
        return bool(verdict.gates)  # without one, its type or shape is another: the program's doing
    if verdict.kind == "execution":  # numpy runs the program in float64
        return verdict.case not in (LOWERING, IN_FLOAT64)
    if verdict.kind == "golden":
        return verdict.case in (COMPUTED, STATISTICS)  # the others are on eager and its inputs
    return verdict.kind in _RAN
