"""Keep every call that passes through, for a replay that is exact."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from harness.arrays import Array
from harness.errors import ExecutionError

__all__ = ["Call", "Recorder", "Reset", "Runner", "call_for_one"]


class Runner(Protocol):
    """What synthesis needs of an executor: call a method, reset a state."""

    def call(self, method: str, inputs: Sequence[Array], *, state: str = "default") -> list[Array]:
        """Run `method` once and return its outputs."""
        ...

    def reset(self, state: str = "default") -> None:
        """Set every mutable buffer of `state` back to zero."""
        ...


def call_for_one(run: Runner, method: str, inputs: Sequence[Array], state: str) -> Array:
    """The one output of a call.

    Raises
    ------
    ExecutionError
        The program returns none, or several.
    """
    outputs = run.call(method, inputs, state=state)
    if len(outputs) != 1:
        raise ExecutionError(f"{method} returns {len(outputs)} outputs, expected 1")
    return outputs[0]


@dataclass(frozen=True)
class Call:
    """One call of a method: what went in, what came out, and whose KV cache it used."""

    method: str
    inputs: tuple[Array, ...]
    output: Array
    state: str


@dataclass(frozen=True)
class Reset:
    """A state was set back to zero."""

    state: str


class Recorder:
    """A runner that passes calls on to another, and keeps copies of them in order in `events`."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self.events: list[Call | Reset] = []

    def call(self, method: str, inputs: Sequence[Array], *, state: str = "default") -> list[Array]:
        """Run `method` on the runner behind, and keep inputs and output."""
        kept = tuple(_frozen(value) for value in inputs)
        output = call_for_one(self._runner, method, inputs, state)
        self.events.append(Call(method, kept, _frozen(output), state))
        return [output]

    def reset(self, state: str = "default") -> None:
        """Reset `state` on the runner behind, and keep that it happened."""
        self._runner.reset(state)
        self.events.append(Reset(state))

    def calls(self, method: str | None = None) -> tuple[Call, ...]:
        """The calls so far, in order; of one method if named."""
        return tuple(
            event
            for event in self.events
            if isinstance(event, Call) and method in (None, event.method)
        )


def _frozen(value: Array) -> Array:
    copy = np.array(value)
    copy.flags.writeable = False
    return copy
