"""A program that an executor has open: what it declares, its methods, their states."""

from __future__ import annotations

from harness.errors import InputError, one_of
from harness.pte.plan import Plan
from harness.pte.program import Program
from harness.runtime.portable.method import Method, State
from harness.runtime.protocol import TensorSpec, input_specs, output_specs

__all__ = ["Opened"]


class Opened:
    """What the executors share that walk a plan in this process; see `protocol.Executor`."""

    def __init__(self) -> None:
        self._program: Program | None = None
        self._forget()

    def _forget(self) -> None:
        """Let go of all that belongs to the program."""
        self._methods: dict[str, Method] = {}
        self._states: dict[str, dict[str, State]] = {}

    def methods(self) -> tuple[str, ...]:
        """Names of the methods in the loaded program, constant methods included."""
        return tuple(self._loaded().plans)

    def inputs(self, method: str) -> tuple[TensorSpec, ...]:
        """Declared inputs of `method`, in call order; a number is an input of shape ()."""
        return input_specs(self._plan(method))

    def outputs(self, method: str) -> tuple[TensorSpec, ...]:
        """Declared outputs of `method`, in the file's types."""
        return output_specs(self._plan(method))

    def reset(self, state: str = "default") -> None:
        """Set every mutable buffer of `state` back to its first contents."""
        self._states.pop(state, None)

    def close(self) -> None:
        """Release the program and its states."""
        if self._program is not None:
            self._program.close()
        self._program = None
        self._forget()

    def _state(self, state: str, method: str, ready: Method) -> State:
        """What a method keeps in a state: fresh, if it was not called there before."""
        kept = self._states.setdefault(state, {})
        if method not in kept:
            kept[method] = ready.fresh()
        return kept[method]

    def _loaded(self) -> Program:
        if self._program is None:
            raise InputError("no program is loaded; call load with a .pte first")
        return self._program

    def _plan(self, method: str) -> Plan:
        plans = self._loaded().plans
        one_of("method", method, plans)
        return plans[method]
