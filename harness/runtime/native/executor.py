"""NativeExecutor: methods of a `.pte` on ExecuTorch's own runtime."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from harness import errors
from harness.arrays import Array
from harness.errors import (
    ExecutionError,
    HarnessError,
    InputError,
    MachineError,
    ProgramError,
    UnavailableError,
    one_of,
)
from harness.fingerprint import Fingerprint, Regime
from harness.pte.canaries import Canary, explain
from harness.pte.plan import MLX_BACKEND
from harness.runtime.native.child import WORKER, Child
from harness.runtime.native.machine import fingerprint
from harness.runtime.protocol import TensorSpec, check_inputs

__all__ = ["NativeExecutor"]


class NativeExecutor:
    """Runs a `.pte` in a child process, with whatever backends the ExecuTorch wheel has.

    An abort, a crash or a hang of native code is a MachineError that quotes the end of the
    child's log. The states that the child held are lost with it: a call in one of them raises
    until it is reset, while other states go on in a new child.
    """

    def __init__(
        self,
        *,
        timeout: float = 600.0,  # seconds that one call, or one load, may take
        command: Sequence[str] = WORKER,  # gets its channel's descriptor as last argument
        name: str = "native",  # by which users chose it; the fingerprint has it
    ) -> None:
        self._name = name
        self._timeout = timeout
        self._command = tuple(command)
        self._child: Child | None = None
        self._forget()
        self._usable: list[str] | None = None

    def _forget(self) -> None:
        self._path: Path | None = None
        self._inputs: dict[str, tuple[TensorSpec, ...]] = {}
        self._used: set[str] = set()  # states that the child holds
        self._lost: set[str] = set()  # states that died with one

    @property
    def fingerprint(self) -> Fingerprint:
        """Machine, versions, usable backends, and the switches that change numbers."""
        if self._usable is None:
            self._start()
        assert self._usable is not None
        return fingerprint(self._usable, self._name)

    def regime(self) -> Regime | None:
        """How exactly MLX multiplies in this runtime, as canaries show; None without MLX.

        They run in a process of their own, which a kernel may abort; exported once, they are kept.
        """
        _ = self.fingerprint  # knows which backends there are
        if self._name == "xnnpack" or MLX_BACKEND not in (self._usable or ()):
            return None
        from harness.export.canaries import canary_program, grouped

        options: dict[str, Any] = {"timeout": self._timeout, "command": self._command}
        with closing(NativeExecutor(**options)) as other:
            other.load(canary_program())
            return explain(pair for group in grouped().items() for pair in other._canaries(*group))

    def _canaries(self, method: str, group: Sequence[Canary]) -> list[tuple[Canary, Array | str]]:
        """What the canaries of one method make."""
        operands = [tensor for canary in group for tensor in canary.tensors]
        self.reset()  # the process may have died of the canaries before
        try:
            return list(zip(group, self.call(method, operands), strict=True))
        except HarnessError as error:  # a GPU without bfloat16, for one
            return [(canary, f"it cannot be run: {error}") for canary in group]

    @property
    def pid(self) -> int | None:
        """Id of the child process; None while there is none."""
        self._count_losses()
        return self._child.pid if self._child is not None else None

    def load(self, path: Path) -> None:
        """Open a `.pte`, replacing any program loaded before and forgetting all states."""
        self._forget()
        if not path.is_file():
            raise ProgramError(f"{path} is not a file; export it first")
        self._inputs = self._open(path.resolve())
        self._path = path.resolve()

    def methods(self) -> tuple[str, ...]:
        """Names of the methods in the loaded program, constant methods included."""
        return tuple(self._inputs)

    def inputs(self, method: str) -> tuple[TensorSpec, ...]:
        """Declared inputs of `method`; a plain number is a 0-d tensor."""
        if not self._inputs:
            raise InputError("no program is loaded; call load with a .pte first")
        one_of("method", method, self._inputs)
        return self._inputs[method]

    def call(self, method: str, inputs: Sequence[Array], *, state: str = "default") -> list[Array]:
        """Run `method` once and return copies of its outputs; see the protocol."""
        arrays = check_inputs(method, self.inputs(method), inputs)
        assert self._path is not None
        self._count_losses()
        if state in self._lost:
            raise MachineError(
                f"{self._path.name}: {method}: state {state!r} was lost when the native runtime's "
                "process died; reset it and begin again"
            )
        if self._child is None:
            self._open(self._path)
        self._used.add(state)
        request = {"operation": "call", "method": method, "state": state}
        return self._ask(f"{self._path.name}: {method}", request, arrays)[1]

    def reset(self, state: str = "default") -> None:
        """Set every mutable buffer of `state` back to zero."""
        self._count_losses()
        if state in self._used:
            self._ask(f"reset of {state!r}", {"operation": "reset", "state": state})
        self._used.discard(state)
        self._lost.discard(state)

    def close(self) -> None:
        """End the child process and forget the program; loading again starts a new one."""
        self._forget()
        if self._child is not None:
            self._child.close()
            self._child = None

    def _count_losses(self) -> None:
        """Once the child is gone: let go of it and note which states went with it."""
        if self._child is not None and not self._child.alive:
            self._child.close()
            self._child = None
            self._lost |= self._used
            self._used = set()

    def _open(self, path: Path) -> dict[str, tuple[TensorSpec, ...]]:
        """Load `path` in the child, a new one if need be."""
        answer, _ = self._ask(str(path), {"operation": "load", "path": str(path)})
        return {
            name: tuple(TensorSpec(**{**spec, "shape": tuple(spec["shape"])}) for spec in specs)
            for name, specs in answer["methods"].items()
        }

    def _ask(
        self, what: str, fields: dict[str, Any], arrays: Sequence[Array] = ()
    ) -> tuple[dict[str, Any], list[Array]]:
        self._count_losses()
        child = self._child or self._start()
        answer, outputs = child.ask(what, fields, arrays, self._timeout)
        if "error" in answer:
            kind: type[HarnessError] = getattr(errors, answer["error"])
            log = child.log_tail() if kind in (ExecutionError, ProgramError, HarnessError) else ""
            raise kind(f"{answer['message']}{log}")
        return answer, outputs

    def _start(self) -> Child:
        try:
            child = Child(self._command)
            answer, _ = child.ask("start", {"operation": "backends"}, (), self._timeout)
        except MachineError as error:
            raise UnavailableError(
                f"ExecuTorch's runtime cannot start here, is executorch installed? {error}"
            ) from error
        self._child, self._usable = child, answer["usable"]
        return child
