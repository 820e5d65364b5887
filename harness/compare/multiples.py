"""What is allowed of an error, in multiples of what eager of the same precision loses."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

__all__ = ["Multiples"]

_ANOTHER = 10.0
"""Times the rounding of eager from which on an executor's arithmetic is another one."""


@dataclass(frozen=True)
class Multiples:
    """How many times eager's own error each measure may be; 1 is typical.

    Attributes
    ----------
    rms, part, peak
        Of the RMS error of all calls, of the worst part, and of the greatest error.
    band
        Of the RMS error in the worst third-octave band of a sound, up to Nyquist.
    growth
        By what the error may grow or shrink beside eager's from a sequence's begin to its end.
    level
        By what 20 ms of sound may be softer than both eager's and the oracle's.
    zeros
        The share of samples that may be 0 beside twice as many as eager has.
    coherence, coherence_z
        The part of the error that is proportional to the output, so a gain, over eager's own error
        (RMS); by itself, and over its standard error.
    decision
        Of the greatest error of what a code is decided on.
    source
        Where the numbers come from.
    """

    rms: float
    part: float
    peak: float
    band: float
    growth: float
    level: float
    zeros: float
    coherence: float
    coherence_z: float
    decision: float
    source: str

    def times(self, factor: float, reason: str) -> Multiples:
        """For an executor that rounds oftener than eager does.

        From ten times on its arithmetic is another one, whose error need not grow as eager's does:
        a GPU may compute one row exactly and several rows not.
        """
        names = ["rms", "part", "peak", "band", "coherence", "coherence_z", "decision"]
        if factor >= _ANOTHER:
            names.append("growth")
        more = {name: factor * getattr(self, name) for name in names}
        return dataclasses.replace(self, **more, source=f"{self.source}; × {factor:g}: {reason}")
