"""The one protocol behind which every executor runs a `.pte`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Array", "Executor", "Fingerprint", "TensorSpec"]

Array = NDArray[Any]
"""A tensor at the protocol's boundary; bfloat16 is `ml_dtypes.bfloat16`."""


@dataclass(frozen=True)
class TensorSpec:
    """What a method declares of one input or output.

    Attributes
    ----------
    dtype
        numpy name of the element type, e.g. ``"float32"``, ``"int64"``, ``"bfloat16"``.
    shape
        Sizes, or the upper bounds where `dynamic`.
    dynamic
        Whether each call may bring any shape up to `shape` (same rank).
    """

    dtype: str
    shape: tuple[int, ...]
    dynamic: bool = False


@dataclass(frozen=True)
class Fingerprint:
    """Which executor ran, on what device, with what versions; a report quotes it."""

    executor: str
    device: str
    versions: Mapping[str, str]
    notes: tuple[str, ...] = ()


class Executor(Protocol):
    """Runs the methods of one loaded program.

    A *state* is a set of mutable buffers (the KV cache), all zero at first; naming it lets a
    caller keep several apart. An executor is used from the thread that made it.
    """

    @property
    def fingerprint(self) -> Fingerprint:
        """Which executor this is."""
        ...

    def load(self, path: Path) -> None:
        """Open a `.pte`, replacing any program loaded before and forgetting all states.

        Raises
        ------
        ProgramError
            The file is missing, truncated, damaged or not a program.
        """
        ...

    def methods(self) -> tuple[str, ...]:
        """Names of the methods in the loaded program, constant methods included."""
        ...

    def inputs(self, method: str) -> tuple[TensorSpec, ...]:
        """Declared inputs of `method`, in call order."""
        ...

    def call(self, method: str, inputs: Sequence[Array], *, state: str = "default") -> list[Array]:
        """Run `method` once and return its outputs.

        Scalar outputs of constant methods come back as 0-d arrays.

        Raises
        ------
        InputError
            No such method; wrong number, dtype or shape of inputs.
        ExecutionError
            The program refused to run.
        """
        ...

    def reset(self, state: str = "default") -> None:
        """Set every mutable buffer of `state` back to zero."""
        ...

    def close(self) -> None:
        """Release the program, its states and any child process."""
        ...


def as_array(value: Any, dtype: str) -> Array:
    """`value` as a C-contiguous array of the numpy or ml_dtypes type named `dtype`."""
    if dtype == "bfloat16":
        import ml_dtypes

        return np.ascontiguousarray(value, dtype=ml_dtypes.bfloat16)
    return np.ascontiguousarray(value, dtype=dtype)
