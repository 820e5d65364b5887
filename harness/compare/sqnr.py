"""Signal to quantisation noise: what a narrower arithmetic costs against a wider one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from harness.compare import words
from harness.compare.metrics import reduce_call, total
from harness.compare.tensors import Pair
from harness.compare.verdict import Gate, Metric, Status, Verdict

__all__ = ["judge_sqnr"]


def judge_sqnr(
    subject: str, case: str, pairs: Sequence[Pair], floor_db: float, source: str
) -> Verdict:
    """Judge by how much the reference stands above the difference, over all calls together.

    `pairs` are (narrow, wide) outputs in call order, equally shaped; their types differ by design.
    `floor_db` is the least that passes, in dB (infinite: they must be equal), and `source` says
    where it comes from. *fail* below it, or where one side is finite and the other is not; the
    gate is RMS of the noise over RMS of the reference, at most 10^(−floor / 20).
    """
    calls = [reduce_call(np.asarray(narrow), np.asarray(wide)) for narrow, wide in pairs]
    if not any(call.finite for call in calls):
        return Verdict(subject, case, "sqnr", Status.UNJUDGED, "nothing was compared: no calls")
    metrics = total(calls)
    broken = sum(
        abs(call.candidate_finite - call.finite) + abs(call.reference_finite - call.finite)
        for call in calls
    )
    gates = (
        Gate("non-finite", broken, 0, "elements"),
        Gate("noise", metrics.rms_scaled, 10 ** (-floor_db / 20), "of reference RMS"),
    )
    passed = all(gate.passed for gate in gates)
    worst = min(math.inf if not call.rms else -20 * math.log10(call.rms) for call in calls)
    asked = "equal is asked" if floor_db == math.inf else f"at least {floor_db:g} dB asked"
    summary = f"SQNR {_decibels(metrics.snr_db)}, {asked}; worst call {_decibels(worst)}"
    if broken:
        summary += f"; {words.count(broken, 'element')} finite on one side only"
    told: dict[str, Metric] = {
        "sqnr_db": metrics.snr_db,
        "worst_call_db": worst,
        "floor_db": floor_db,
        "gain": metrics.gain,
        "calls": metrics.calls,
        "floor": source,
    }
    status, notes = (Status.PASS, ()) if passed else (Status.FAIL, (f"Floor: {source}.",))
    return Verdict(subject, case, "sqnr", status, summary, told, gates, metrics.elements, notes)


def _decibels(value: float) -> str:
    return f"{value:.1f} dB" if math.isfinite(value) else f"{words.number(value)} dB"
