"""What the plots of a page show: arrays of one run, which the JSON form does not carry."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.arrays import Array
from harness.compare.metrics import as_float64

__all__ = ["Decided", "Decisions", "Element", "Figures", "Outputs", "Sound", "Steps"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Steps:
    """The local link of one method: each step, in the call in which it was furthest off.

    Attributes
    ----------
    method
        Its name.
    numbers, shares
        Of the steps, in the order run; the share of its bound that each used, over 1 is wrong.
    labels
        ``step 12, GatherNode (im2col) in codec_decoder.output_proj``.
    """

    method: str
    numbers: tuple[int, ...]
    shares: tuple[float, ...]
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Element:
    """One element of an output.

    Attributes
    ----------
    case, call, index
        Where.
    made, meant
        The program's value, and eager's.
    share
        Their difference in the unit of its `Outputs`.
    """

    case: str
    call: int
    index: tuple[int, ...]
    made: float
    meant: float
    share: float


@dataclass(frozen=True)
class Outputs:
    """What came of one case beside eager's, an entry a call.

    Attributes
    ----------
    method, case
        Names.
    made, meant
        The program's outputs, and eager's, of the same shapes.
    allowed
        The greatest difference that passes; 0: none; NaN where nobody measured it.
    """

    method: str
    case: str
    made: tuple[Array, ...]
    meant: tuple[Array, ...]
    allowed: float

    @property
    def unit(self) -> float:
        """What differences are told in: what is allowed, or else the greatest value of eager."""
        if not math.isnan(self.allowed):
            return self.allowed
        finite = [np.abs(wide[np.isfinite(wide)]) for wide in map(as_float64, self.meant)]
        return max((float(each.max(initial=0.0)) for each in finite), default=0.0)

    def shares(self) -> Floats:
        """Every difference over `unit`; infinity where that is 0, or a value is not finite.

        A masked element, −inf on both sides, is no difference.
        """
        return np.concatenate([self._shares(call) for call in range(len(self.made))] or [_NONE])

    def worst(self, count: int) -> list[Element]:
        """The elements that are furthest off, the worst first; none that is equal."""
        found: list[Element] = []
        for call, (made, meant) in enumerate(zip(self.made, self.meant, strict=True)):
            shares = self._shares(call)
            few = min(count, shares.size)
            for at in np.argpartition(shares, -few)[-few:] if few else ():
                index = tuple(int(i) for i in np.unravel_index(int(at), np.shape(made) or (1,)))
                made_here, meant_here = (float(as_float64(side)[at]) for side in (made, meant))
                share = float(shares[at])
                found.append(Element(self.case, call, index, made_here, meant_here, share))
        found = [element for element in found if element.share > 0]
        return sorted(found, key=lambda element: -element.share)[:count]

    def _shares(self, call: int) -> Floats:
        made, meant = as_float64(self.made[call]), as_float64(self.meant[call])
        with np.errstate(all="ignore"):
            off = np.abs(made - meant)
            shares = off / self.unit
        shares = np.where(made == meant, 0.0, shares)
        return np.where(np.isfinite(shares) | (shares == np.inf), shares, np.inf)


_NONE = np.zeros(0)


@dataclass(frozen=True)
class Sound:
    """A waveform beside eager's of the same codes.

    Attributes
    ----------
    title
        ``codec · speech``.
    made, meant
        The program's, and eager's, float with full scale ±1, shape (samples,).
    sample_rate, frames
        In Hz; codec frames that they were made from.
    allowed
        The greatest difference that passes; NaN where nobody measured it.
    """

    title: str
    made: Array
    meant: Array
    sample_rate: int
    frames: int
    allowed: float


@dataclass(frozen=True)
class Decided:
    """A code that eager would have chosen otherwise.

    Attributes
    ----------
    frame, book, code
        Where, 0 being the semantic codebook, and the code that was chosen.
    distance, allowed
        How far eager's value lies from a value that gives this code, and how far rounding errors
        may move it: up to there it is a tie, beyond it a fault; NaN where nobody measured that.
    unit
        ``logits`` or ``levels``.
    """

    frame: int
    book: int
    code: str
    distance: float
    allowed: float
    unit: str

    @property
    def what(self) -> str:
        """``tie`` where rounding explains it, else ``fault``; ``not judged`` without allowance."""
        if math.isnan(self.allowed):
            return "not judged"
        return "tie" if self.distance <= self.allowed else "fault"


@dataclass(frozen=True)
class Decisions:
    """All that a free-running speech decided.

    Attributes
    ----------
    count, frames
        How many decisions were compared, in how many frames.
    differing
        Those that eager takes otherwise on the same history.
    """

    count: int
    frames: int
    differing: tuple[Decided, ...]


@dataclass(frozen=True)
class Figures:
    """Everything that plots are made of.

    Attributes
    ----------
    steps
        An entry for each method whose steps were watched.
    outputs
        An entry for each case that was compared with eager.
    sounds
        What the codec made, of eager's codes and of its own.
    decisions
        None where the executor did not speak.
    """

    steps: tuple[Steps, ...] = ()
    outputs: tuple[Outputs, ...] = ()
    sounds: tuple[Sound, ...] = ()
    decisions: Decisions | None = None
