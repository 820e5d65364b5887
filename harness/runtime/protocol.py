"""The one protocol behind which every executor runs a `.pte`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from harness.arrays import Array
from harness.fingerprint import Fingerprint

__all__ = ["Executor", "TensorSpec"]


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
