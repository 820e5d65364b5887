"""Judge an error by what eager of the same precision loses by itself.

Both round every step, in other orders. Against the float64 oracle their errors therefore have one
size: the whole, each part (a call, a position, 20 ms of sound), each third-octave band, the
greatest one. A fault adds to one side only.

Eager's *own error* in a part is the root mean square of two: what it lost there, and what it loses
of such an output over all cases of the method. The second keeps a part in which eager is right by
chance from allowing nothing; for the same reason no part loses less than half a unit in the last
place in one element, unless eager makes no error at all: then nothing may differ.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.arrays import Array
from harness.compare.metrics import as_float64, ratio
from harness.compare.multiples import Multiples
from harness.compare.verdict import Gate, Status, Verdict

__all__ = ["Oracle", "judge_own_error", "relative_error"]

Floats = NDArray[np.float64]

_FRAME_SECONDS = 0.02
"""A part of a sound: the window over which hearing adds energy up, about."""

_BLOCKS = 8
"""Equal stretches of a sequence between which growth is told."""

_LEAST_PARTS = 2 * _BLOCKS
"""Parts that a sequence must have for growth to be told."""

_LEAST_BAND = 100.0
"""Hz below which there is one band: third-octave bands of a second have too few lines there."""

_SPREAD = 4.0
"""Standard deviations, about, that the RMS of a part's errors may be off by chance: 1/√n each for n
errors, more of a flow's velocity, of which 36 share the rounding of one hidden state."""

_SAME = 1e-9
"""Of the greatest: values of the oracle that differ by less repeat one another."""


@dataclass(frozen=True)
class Oracle:
    """What eager makes of a case without rounding.

    Attributes
    ----------
    outputs
        In float64, one a call; of the first calls where not all were made.
    relative
        Eager's RMS error over the oracle's RMS, over all cases of the method; 0 where it makes
        none, so that nothing may differ.
    """

    outputs: tuple[Array, ...]
    relative: float


@dataclass(frozen=True)
class _Call:
    """One call: the oracle's output, the candidate's and eager's error, and where parts begin.

    `step` is half a unit in the last place of 1, of the candidate's type.
    """

    exact: Floats
    error: Floats
    own: Floats
    starts: NDArray[np.intp]
    step: float

    @property
    def counts(self) -> NDArray[np.intp]:
        """Elements of each part."""
        return np.diff(self.starts, append=self.exact.size)

    def by_part(self, values: Floats) -> Floats:
        """Mean square of each part."""
        return np.add.reduceat(values * values, self.starts) / self.counts

    def loses(self, relative: float) -> Floats:
        """Mean square of eager's own error in each part."""
        if not relative:
            return self.by_part(self.own)
        peaks = np.maximum.reduceat(np.abs(self.exact), self.starts)
        least = (self.step * peaks) ** 2 / self.counts
        return np.maximum(_mean(self.by_part(self.own), self.by_part(self.exact), relative), least)


def relative_error(cases: Sequence[tuple[Sequence[Array], Sequence[Array]]]) -> float:
    """Eager's RMS error over the oracle's RMS: the root mean square of what each case has.

    `cases` holds eager's outputs and the oracle's, one a call each.
    """
    squares = []
    for eager, exact in cases:
        calls = [_call(e, e, x, 0) for e, x in zip(eager, exact, strict=False)]
        signal = sum(float(call.exact @ call.exact) for call in calls)
        if signal:
            squares.append(sum(float(call.own @ call.own) for call in calls) / signal)
    return math.sqrt(sum(squares) / len(squares)) if squares else 0.0


def judge_own_error(
    verdict: Verdict,
    pairs: Sequence[tuple[Array, Array]],
    oracle: Oracle,
    multiples: Multiples,
    sample_rate: int = 0,
) -> Verdict:
    """Add to a verdict on outputs what they lose beside what eager loses.

    Parameters
    ----------
    verdict
        Of `pairs`; where these were not comparable at all, it is left as it is.
    pairs
        The candidate's outputs and eager's, in call order.
    oracle
        Without rounding.
    multiples
        What is allowed.
    sample_rate
        In Hz, of a sound; 0 where outputs are none, so that a part is a row: a call, or a position.
    """
    sizes = zip(pairs, oracle.outputs, strict=False)
    comparable = all(np.size(c) == np.size(e) == np.size(x) for (c, e), x in sizes)
    if verdict.status is Status.UNJUDGED or not comparable or _broken(verdict):
        return verdict
    width = round(sample_rate * _FRAME_SECONDS)
    calls = [
        _call(candidate, eager, exact, width)
        for (candidate, eager), exact in zip(pairs, oracle.outputs, strict=False)
    ]
    if not any(call.exact.size for call in calls):
        return verdict
    gates = [
        *_whole(calls, oracle.relative, multiples),
        *_parts(calls, oracle.relative, multiples, "20 ms" if width else "part"),
    ]
    if width:
        gates += _sound(calls, oracle.relative, multiples, sample_rate)
    missed = [gate for gate in gates if not gate.passed]
    status = Status.FAIL if missed else verdict.status
    summary, notes = verdict.summary, verdict.notes
    if missed:
        told = ", ".join(f"{gate.name} {_told(gate)}" for gate in missed)
        summary += f"; beside what eager itself loses: {told}"
        notes += (f"Of eager's own error: {multiples.source}.",)
    metrics = {**verdict.metrics, "eager's own error": oracle.relative}
    return dataclasses.replace(
        verdict,
        status=status,
        summary=summary,
        metrics=metrics,
        gates=(*verdict.gates, *gates),
        notes=notes,
    )


def _broken(verdict: Verdict) -> bool:
    return any(gate.name == "non-finite" for gate in verdict.gates)


def _told(gate: Gate) -> str:
    where = f" ({gate.where})" if gate.where else ""
    return f"{gate.value:.3g} of {gate.allowed:.3g} allowed{where}"


def _call(candidate: Array, eager: Array, exact: Array, width: int) -> _Call:
    c, e, x = (as_float64(array) for array in (candidate, eager, exact))
    finite = np.isfinite(x) & np.isfinite(c) & np.isfinite(e)
    c, e, x = (np.where(finite, array, 0.0) for array in (c, e, x))
    row = width or (np.shape(exact)[-1] if np.ndim(exact) else 1)
    step = 2.0**-8 if np.asarray(candidate).dtype.name == "bfloat16" else 2.0**-24
    return _Call(x, c - x, e - x, np.arange(0, x.size, max(row, 1)), step)


def _mean(own: Floats, exact: Floats, relative: float) -> Floats:
    """Eager's own error, squared, of parts with these mean squares."""
    return (own + relative**2 * exact) / 2


def _whole(calls: Sequence[_Call], relative: float, allowed: Multiples) -> list[Gate]:
    error, own, signal, common = (
        sum(float(a @ b) for a, b in pairs)
        for pairs in (
            [(call.error, call.error) for call in calls],
            [(call.own, call.own) for call in calls],
            [(call.exact, call.exact) for call in calls],
            [(call.error, call.exact) for call in calls],
        )
    )
    loses = math.sqrt((own + relative**2 * signal) / 2)
    peak = max(_greatest(call.own) for call in calls)
    if relative:  # at least half a unit in the last place in one element
        least = max(call.step * _greatest(call.exact) for call in calls)
        loses, peak = max(loses, least), max(peak, least)
    coherent = abs(common) / math.sqrt(signal) if signal else 0.0
    coherence = ratio(coherent, loses)
    elements = float(sum(call.exact.size for call in calls))
    if coherence > allowed.coherence + allowed.coherence_z / math.sqrt(elements):
        elements = _independent(calls)
    return [
        Gate("RMS of own", ratio(math.sqrt(error), loses), allowed.rms, "of eager's own"),
        Gate(
            "max abs of own",
            ratio(max(_greatest(call.error) for call in calls), peak),
            allowed.peak,
            "of eager's own",
        ),
        Gate(
            "coherence with signal",
            coherence,
            allowed.coherence + allowed.coherence_z / math.sqrt(max(elements, 1)),
            "of eager's own",
        ),
    ]


def _independent(calls: Sequence[_Call]) -> float:
    """How many elements have rounding errors of their own, n² / Σ count² of equal parts.

    The sound of one code over and over repeats itself, and with itself its errors.
    """
    grid = _SAME * max(_greatest(call.exact) for call in calls)
    parts = [
        np.round(part / grid).tobytes()
        for call in calls
        for part in np.split(call.exact, call.starts[1:])
    ]
    counts = np.fromiter(Counter(parts).values(), np.float64)
    elements = sum(call.exact.size for call in calls)
    return elements * len(parts) / float((counts**2).sum())


def _parts(calls: Sequence[_Call], relative: float, allowed: Multiples, name: str) -> list[Gate]:
    error, own = (
        np.concatenate([call.by_part(values) for call, values in zip(calls, those, strict=True)])
        for those in ([call.error for call in calls], [call.own for call in calls])
    )
    loses = np.concatenate([call.loses(relative) for call in calls])
    shares = [math.sqrt(ratio(float(e), float(most))) for e, most in zip(error, loses, strict=True)]
    worst = int(np.argmax(shares))
    elements = np.concatenate([call.counts for call in calls])[worst]
    most = allowed.part * (1 + _SPREAD / math.sqrt(elements))
    gates = [Gate(f"worst {name} of own", shares[worst], most, "of eager's own", f"{name} {worst}")]
    if len(shares) >= _LEAST_PARTS and loses.all():
        # Growth is a fault's only where it shows beside both: eager's own error is small in some
        # blocks by chance, and a candidate that equals eager grows beside the usual as eager does.
        slope, eager = _slope(error, loses), _slope(own, loses)
        growth = math.exp(min(abs(slope), abs(slope - eager)))
        gates.append(Gate("growth along", growth, allowed.growth, "times"))
    return gates


def _slope(error: Floats, loses: Floats) -> float:
    """Logarithm of what the error grows by beside what is usual, from begin to end, fitted."""
    blocks = [
        max(float(e.mean()) / float(most.mean()), 1e-2)
        for e, most in zip(
            np.array_split(error, _BLOCKS), np.array_split(loses, _BLOCKS), strict=True
        )
    ]
    (slope, _) = np.polyfit(np.linspace(0, 1, _BLOCKS), np.log(blocks) / 2, 1)
    return float(slope)


def _sound(
    calls: Sequence[_Call], relative: float, allowed: Multiples, sample_rate: int
) -> list[Gate]:
    softer, at, count = 0.0, 0, 0
    for call in calls:
        made, eager, exact = (
            call.by_part(values)
            for values in (call.exact + call.error, call.exact + call.own, call.exact)
        )
        drops = [
            ratio(float(r), float(c)) for r, c in zip(np.minimum(eager, exact), made, strict=True)
        ]
        worst = int(np.argmax(drops))
        if drops[worst] > softer:
            softer, at = drops[worst], count + worst
        count += len(drops)
    band, where = _worst_band(calls, relative, sample_rate)
    zeros, known = (
        sum(int((values == 0).sum()) for values in those)
        for those in (
            [call.exact + call.error for call in calls],
            [call.exact + call.own for call in calls],
        )
    )
    samples = sum(call.exact.size for call in calls)
    return [
        Gate("worst band of own", band, allowed.band, "of eager's own", where),
        Gate(
            "samples that are 0", zeros, 2 * known + math.ceil(allowed.zeros * samples), "samples"
        ),
        Gate("level drop", math.sqrt(softer), allowed.level, "times", f"20 ms {at}"),
    ]


def _worst_band(calls: Sequence[_Call], relative: float, sample_rate: int) -> tuple[float, str]:
    centres = 1000.0 * 2.0 ** (np.arange(-10, 14) / 3)
    edges = [
        0.0,
        *(edge for edge in centres * 2 ** (1 / 6) if _LEAST_BAND < edge < sample_rate / 2),
    ]
    energies = np.zeros((3, len(edges)))
    for call in calls:
        frequencies = np.fft.rfftfreq(call.exact.size, 1 / sample_rate)
        band = np.searchsorted(edges, frequencies, side="right") - 1
        for row, values in zip(energies, (call.error, call.own, call.exact), strict=True):
            power = np.abs(np.fft.rfft(values)) ** 2
            row += np.bincount(band, power, len(edges))
    error, known, exact = energies
    loses = _mean(known, exact, relative)
    shares = [math.sqrt(ratio(float(e), float(own))) for e, own in zip(error, loses, strict=True)]
    worst = int(np.argmax(shares))
    upper = edges[worst + 1] if worst + 1 < len(edges) else sample_rate / 2
    return shares[worst], f"{edges[worst]:.0f} to {upper:.0f} Hz"


def _greatest(values: Floats) -> float:
    return float(np.abs(values).max(initial=0.0))
