"""Measure how far a candidate is from its reference, over one call or over many.

Each call is reduced to its sums (`CallSums`); totals over calls come from the sums alone, so
the order of calls cannot change them. All arithmetic is float64.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.arrays import Array
from harness.errors import InputError

__all__ = [
    "CallSums",
    "TensorMetrics",
    "as_float64",
    "beyond",
    "measure",
    "reduce_call",
    "total",
    "unravel",
]

_BEYOND = 1e4
"""Times the RMS of all smaller values: what is greater is a mask's, such as ``finfo.min``."""

_LEAST = 0.1
"""The RMS beside which a value is told to be a mask's, at least: zeros and noise have none."""


@dataclass(frozen=True)
class CallSums:
    """One call, reduced: over the entries that are finite on both sides, c against r.

    `worst_index` is the position of `max_abs`, None if no entry is finite on both sides.
    `low` and `high` are the least and the greatest reference entry, NaN likewise.
    """

    shape: tuple[int, ...]
    dtype: str
    size: int
    finite: int
    candidate_finite: int
    reference_finite: int
    bit_equal: int
    max_abs: float
    max_rel: float
    worst_index: tuple[int, ...] | None
    low: float
    high: float
    ee: float
    rr: float
    cc: float
    cr: float
    er: float

    @property
    def rms(self) -> float:
        """RMS error over the reference's RMS; infinite for an error on an all-zero reference."""
        return math.sqrt(ratio(self.ee, self.rr))

    @property
    def gain_gap(self) -> float:
        """How far the gain is from 1; 0 for an all-zero reference, which has no gain."""
        return abs(ratio(self.er, self.rr)) if self.rr else 0.0


@dataclass(frozen=True)
class TensorMetrics:
    """How far a candidate is from its reference.

    Only entries finite on both sides enter the errors; the counts say how many were not.

    Attributes
    ----------
    shapes, dtype
        Of the reference; of several calls, each distinct shape once.
    calls
        How many pairs were measured.
    size, elements
        All entries, and those finite on both sides: the number compared.
    candidate_finite, reference_finite
        Finite entries on each side.
    bit_equal
        Entries whose bits are equal, the sign of zero included; 0 where the dtypes differ.
    max_abs, worst_index
        Greatest |candidate − reference|, and its position, after the number of the call where
        several were measured.
    max_rel
        Greatest |candidate − reference| / |reference| over the entries whose reference is not
        zero; an error at a zero has no relative size and is left to `max_abs`.
    rms_error, reference_rms
        Root mean square of the error, and of the reference.
    scale, low, high
        Greatest |reference|, least and greatest entry of the reference.
    cosine
        Cosine of the angle between both. Blind to gain, nearly so to a low-pass filter or a
        dropped start: a reading, not a gate.
    snr_db
        20·log10(reference_rms / rms_error), with nothing added to either: infinite when exact,
        0 for silence.
    gain
        Slope of the least-squares regression of candidate on reference through the origin,
        Σcr/Σr² = 1 + Σ(c−r)r/Σr²; the second form is free of cancellation. Through the origin,
        because an intercept makes the slope of a nearly constant reference meaningless.
    """

    shapes: tuple[tuple[int, ...], ...]
    dtype: str
    calls: int
    size: int
    elements: int
    candidate_finite: int
    reference_finite: int
    bit_equal: int
    max_abs: float
    worst_index: tuple[int, ...] | None
    max_rel: float
    rms_error: float
    reference_rms: float
    scale: float
    cosine: float
    snr_db: float
    gain: float
    low: float
    high: float

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the reference (of the first call, where there were several)."""
        return self.shapes[0]

    @property
    def max_abs_scaled(self) -> float:
        """`max_abs` over `scale`."""
        return ratio(self.max_abs, self.scale)

    @property
    def rms_scaled(self) -> float:
        """`rms_error` over `reference_rms`."""
        return ratio(self.rms_error, self.reference_rms)


def measure(candidate: Array, reference: Array) -> TensorMetrics:
    """Measure one candidate, of real numbers, bfloat16 (`ml_dtypes`) included.

    Raises
    ------
    InputError
        The shapes differ, or an array does not hold real numbers.
    """
    return total([reduce_call(candidate, reference)])


def reduce_call(candidate: Array, reference: Array) -> CallSums:
    """Reduce one pair of equally shaped arrays; raises `InputError` as `measure` does."""
    candidate, reference = np.asarray(candidate), np.asarray(reference)
    if candidate.shape != reference.shape:
        raise InputError(
            f"only equal shapes can be measured: candidate {candidate.shape}, "
            f"reference {reference.shape}"
        )
    c, r = as_float64(candidate), as_float64(reference)
    candidate_finite, reference_finite = np.isfinite(c), np.isfinite(r)
    both = candidate_finite & reference_finite
    positions = None if both.all() else np.flatnonzero(both)
    if positions is not None:
        c, r = c[positions], r[positions]
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        e = c - r
        gap = np.abs(e)
        relative = np.where(r == 0, 0.0, gap / np.abs(r))
        worst = int(gap.argmax()) if gap.size else None
        if worst is not None and positions is not None:
            worst = int(positions[worst])
        return CallSums(
            shape=tuple(reference.shape),
            dtype=reference.dtype.name,
            size=int(reference.size),
            finite=int(r.size),
            candidate_finite=int(candidate_finite.sum()),
            reference_finite=int(reference_finite.sum()),
            bit_equal=_bit_equal(candidate, reference),
            max_abs=float(gap.max(initial=0.0)),
            max_rel=float(relative.max(initial=0.0)),
            worst_index=None if worst is None else unravel(worst, reference.shape),
            low=float(r.min()) if r.size else math.nan,
            high=float(r.max()) if r.size else math.nan,
            ee=float(e @ e),
            rr=float(r @ r),
            cc=float(c @ c),
            cr=float(c @ r),
            er=float(e @ r),
        )


def total(calls: Sequence[CallSums]) -> TensorMetrics:
    """Combine calls as if they were one tensor; `calls` has one entry or more."""
    elements = sum(call.finite for call in calls)
    # In ascending order, so that the order of calls does not show in the last bit.
    ee, rr, cc, cr, er = (
        sum(sorted(getattr(call, name) for call in calls))
        for name in ("ee", "rr", "cc", "cr", "er")
    )
    low = min((call.low for call in calls if call.finite), default=math.nan)
    high = max((call.high for call in calls if call.finite), default=math.nan)
    worst = max(range(len(calls)), key=lambda k: (calls[k].finite > 0, calls[k].max_abs))
    at = calls[worst].worst_index
    return TensorMetrics(
        shapes=tuple(dict.fromkeys(call.shape for call in calls)),
        dtype=", ".join(dict.fromkeys(call.dtype for call in calls)),
        calls=len(calls),
        size=sum(call.size for call in calls),
        elements=elements,
        candidate_finite=sum(call.candidate_finite for call in calls),
        reference_finite=sum(call.reference_finite for call in calls),
        bit_equal=sum(call.bit_equal for call in calls),
        max_abs=calls[worst].max_abs,
        worst_index=(worst, *at) if len(calls) > 1 and at is not None else at,
        max_rel=max(call.max_rel for call in calls),
        rms_error=math.sqrt(ee / elements) if elements else math.nan,
        reference_rms=math.sqrt(rr / elements) if elements else math.nan,
        scale=max(abs(low), abs(high)),
        cosine=cr / (math.sqrt(cc) * math.sqrt(rr)) if cc and rr else math.nan,
        snr_db=_snr_db(ee, rr) if elements else math.nan,
        gain=1.0 + er / rr if rr else math.nan,
        low=low,
        high=high,
    )


def as_float64(values: Array) -> NDArray[np.float64]:
    """`values`, flat, in float64; raises `InputError` where they are not real numbers."""
    values = np.asarray(values)
    # ml_dtypes' types, bfloat16 among them, are of kind "V" to numpy and have a name of their own.
    if values.dtype.kind not in "fiub" and values.dtype.name != "bfloat16":
        raise InputError(f"only real numbers can be judged (got dtype {values.dtype})")
    return values.astype(np.float64).ravel()


def beyond(values: Array) -> NDArray[np.bool_]:
    """Where finite values are a mask's, far beyond all others: -1e9, ``torch.finfo(…).min``.

    Values, from the least magnitude up, end where the next is greater than 1e4 times the RMS of
    those before it, and than 1e3: it and all greater ones are masks. Zeros count as no value.
    """
    sizes = np.abs(as_float64(values)).reshape(np.shape(values))
    sizes[~np.isfinite(sizes)] = 0.0
    if sizes.max(initial=0.0) <= _BEYOND * _LEAST:
        return np.zeros(sizes.shape, bool)
    row = np.sort(sizes[sizes > 0])
    with np.errstate(over="ignore"):
        rms = np.sqrt(np.cumsum(row * row)[:-1] / np.arange(1, row.size))
    far = row[1:] > _BEYOND * np.maximum(rms, _LEAST)
    if not far.any():
        return np.zeros(sizes.shape, bool)
    return np.asarray(sizes >= row[1 + int(far.argmax())])


def difference(made: Array, meant: Array) -> tuple[float, tuple[int, ...]]:
    """The greatest difference over the greatest finite value of `meant`, and where it is.

    Masks (`beyond`) are measured beside masks, other values beside other values. Infinite where
    the shapes differ, or what is not finite is not the same on both sides; NaN is the same as NaN.
    """
    if made.shape != meant.shape:
        return math.inf, ()
    if not made.size:
        return 0.0, ()
    made, meant = as_float64(made).reshape(meant.shape), as_float64(meant).reshape(meant.shape)
    finite = np.isfinite(meant)
    with np.errstate(invalid="ignore", over="ignore"):
        same = (made == meant) | (np.isnan(made) & np.isnan(meant))
        off = np.where(finite, np.abs(made - meant), np.where(same, 0.0, math.inf))
    off = np.where(np.isnan(off), math.inf, off)
    masks = beyond(meant)
    found = [_worst(off, meant, ~masks, least=_LEAST if masks.any() else 0.0)]
    if masks.any():
        found.append(_worst(off, meant, masks))
    return max(found)


def _worst(
    off: Array, meant: Array, among: NDArray[np.bool_], least: float = 0.0
) -> tuple[float, tuple[int, ...]]:
    """The greatest of `off` over the greatest finite value of `meant`, and where, of `among`."""
    index = unravel(int(np.where(among, off, -1.0).argmax()), off.shape)
    scale = float(np.abs(meant[among & np.isfinite(meant)]).max(initial=least))
    return ratio(float(off[index]), scale), index


def ratio(part: float, whole: float) -> float:
    """`part` / `whole`, where nothing of nothing is 0 and something of nothing is infinite."""
    if part == 0:
        return 0.0
    return part / whole if whole else math.inf


def _bit_equal(a: Array, b: Array) -> int:
    if a.dtype != b.dtype or not a.size:
        return 0
    bits = np.dtype(f"u{a.dtype.itemsize}")
    same = np.ascontiguousarray(a).view(bits) == np.ascontiguousarray(b).view(bits)
    return int(np.count_nonzero(same))


def unravel(flat: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The position in an array of `shape` of the entry that is at `flat` in a row of all."""
    return tuple(int(i) for i in np.unravel_index(flat, shape))


def _snr_db(noise: float, signal: float) -> float:
    if noise == 0:
        return math.inf
    return 10.0 * math.log10(signal / noise) if signal else -math.inf
