"""A control: a small program with constants drawn for one run, and the same program damaged.

A report of a run that never reached the delegate can look green: results of another run, of a
fallback on CPU kernels, of an executor that returns zeros. The control's constants are written into
the delegate's payload at the time of the run, and its result follows from nothing else. Its numbers
are small integers, so every regime of arithmetic gives it exactly. The damaged program has another
file identifier in the delegate's payload: whoever reads the payload must refuse it.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

import numpy as np

from harness.arrays import Array
from harness.errors import ProgramError

__all__ = ["BIAS", "MATRIX", "Control", "draw"]

_SIZE = 16

MATRIX = np.arange(1000, 1000 + _SIZE * _SIZE, dtype=np.float32).reshape(_SIZE, _SIZE)
"""What stands in the template where a run's matrix goes; shape (16, 16), found by its bytes."""

BIAS = np.arange(2000, 2000 + _SIZE, dtype=np.float32)
"""The same for the vector that is added; shape (16,)."""

_IDENTIFIER = b"MLX0"
"""File identifier of the delegate's payload."""


@dataclass(frozen=True)
class Control:
    """What was drawn.

    Attributes
    ----------
    x, matrix, bias
        float32, shapes (1, 16), (16, 16) and (16,): integers of which all sums fit 8 bits, so that
        products in bfloat16 are exact, too.
    """

    x: Array
    matrix: Array
    bias: Array

    @property
    def expected(self) -> Array:
        """What comes of it exactly: x · matrix + bias, shape (1, 16)."""
        return self.x @ self.matrix + self.bias

    def program(self, template: bytes) -> bytes:
        """The template with these constants.

        Raises
        ------
        ProgramError
            The template does not hold its own constants once each.
        """
        made = template
        for old, new in ((MATRIX, self.matrix), (BIAS, self.bias)):
            if template.count(old.tobytes()) != 1:
                raise ProgramError("the control program does not hold its constants once each")
            made = made.replace(old.tobytes(), new.astype(np.float32).tobytes())
        return made

    def damaged(self, template: bytes) -> bytes:
        """The same with another identifier in the delegate's payload."""
        made = self.program(template)
        if made.count(_IDENTIFIER) != 1:
            raise ProgramError("the control program does not hold one payload of the MLX delegate")
        return made.replace(_IDENTIFIER, b"????")


def draw() -> Control:
    """A control of this run alone: its seed comes from the operating system."""
    rng = np.random.Generator(np.random.Philox(secrets.randbits(128)))
    x = rng.integers(1, 4, (1, _SIZE))  # |x · matrix| ≤ 16 · 3 · 2 = 96
    matrix = rng.integers(-2, 3, (_SIZE, _SIZE))
    bias = rng.integers(-100, 101, _SIZE)
    return Control(*(part.astype(np.float32) for part in (x, matrix, bias)))
