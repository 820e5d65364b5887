"""The child process: opens programs with ExecuTorch's runtime and runs their methods.

Run as ``python -m harness.runtime.native.worker FD``, with one end of a socket pair as FD. One
request is answered at a time, on the main thread, because a method must be run by the thread
that loaded it:

``backends``  → registered, usable
``load``      path → methods: {name: [{"dtype", "shape", "dynamic"}, …]}
``reset``     state →
``call``      method, state, arrays → arrays

Each request brings its `operation` and the `timeout` the parent allows it. A refusal is answered
with ``{"error": class of harness.errors, "message": …}``, a `HarnessError` being an exception of
this module's own that says so. The end of the stream ends the process. Descriptors 1 and 2 are the
captured log.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import sys
import traceback
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

# `executorch.runtime` wraps this same extension, but its import pulls in the whole exporter:
# 6.4 s against 1.7 s. torch must be imported first, it brings the libraries this one links to.
from executorch.extension.pybindings import _C as runtime  # noqa: N811 - not a constant

from harness.arrays import Array, from_torch, to_torch
from harness.errors import (
    ExecutionError,
    HarnessError,
    InputError,
    MachineError,
    ProgramError,
    UnavailableError,
    UnsupportedError,
)
from harness.pte.plan import MLX_BACKEND, KernelCall, TensorValue
from harness.pte.program import read_program
from harness.runtime.native.channel import Channel
from harness.runtime.protocol import input_specs

__all__ = ["Session", "main"]

# Of a plan's memories, 0 is reserved and 1 holds the activations; beyond those an export with
# `share_mutable_buffers=True` keeps the buffers that its methods have in common.
_ORDINARY_MEMORIES = 2

# Kernels that the wheel keeps apart from its runtime: operator namespace → package and library.
# A library registers its kernels with the runtime's extension as it is loaded, once a process.
_KERNEL_LIBRARIES = {
    "llama": ("executorch.extension.llm.custom_ops", "*custom_ops_aot_lib.*"),
    "quantized_decomposed": ("executorch.kernels.quantized", "*quantized_ops_aot_lib.*"),
}

# The parent ends a slow child itself; this is for a child whose parent died in the meantime.
_GRACE_SECONDS = 10.0

_NO_MEMORY = ("0x21", "0x31")
"""MemoryAllocationFailed and a delegate's (runtime/core/error.h), as the runtime's messages end."""


class Session:
    """A loaded program and its states."""

    def __init__(self, path: Path) -> None:
        _open(path)  # the runtime's own check of the file
        with closing(read_program(path)) as program:
            plans = dict(program.plans)
        _check_backends(path, {d.backend for plan in plans.values() for d in plan.delegates})
        _load_kernels(
            {
                call.operator.partition("::")[0]
                for plan in plans.values()
                for call in plan.instructions
                if isinstance(call, KernelCall)
            }
        )
        self._path, self._version = path, _version(path)
        self._shares_memory = any(len(p.arenas) > _ORDINARY_MEMORIES for p in plans.values())
        self._instances: dict[tuple[str, str], Any] = {}
        self._methods: dict[tuple[str, str], Any] = {}
        self._plans = plans
        self.inputs = {name: list(map(asdict, input_specs(plan))) for name, plan in plans.items()}

    def call(self, method: str, state: str, inputs: Sequence[Array]) -> list[Array]:
        """Run a method on the buffers of `state`."""
        loaded, plan = self._loaded(method, state), self._plans[method]
        values = [
            to_torch(array) if isinstance(plan.values[index], TensorValue) else array.item()
            for array, index in zip(inputs, plan.inputs, strict=True)
        ]
        try:
            outputs = loaded.call(values, clone_outputs=True)
        except (RuntimeError, IndexError) as error:
            raise _refusal(f"{method} failed in ExecuTorch's runtime", error) from error
        return [_to_numpy(method, index, output) for index, output in enumerate(outputs)]

    def reset(self, state: str) -> None:
        """Forget the buffers of `state`."""
        for kept in (self._methods, self._instances):
            for key in [key for key in kept if key[0] == state]:
                del kept[key]

    def _loaded(self, method: str, state: str) -> Any:
        """The method in an instance of the program that belongs to `state`.

        Methods of one instance share their planned memory, so one method's activations
        overwrite another's mutable buffers, unless the export put those in memory of their own
        (`share_mutable_buffers`). Otherwise every method has an instance to itself, as it has
        in upstream's C++ `Module`.
        """
        if (state, method) in self._methods:
            return self._methods[state, method]
        if _version(self._path) != self._version:
            raise ProgramError(f"{self._path} has changed since it was loaded; load it again")
        owner = (state, "" if self._shares_memory else method)
        if owner not in self._instances:
            self._instances[owner] = _open(self._path)
        try:
            loaded = self._instances[owner].load_method(method)
        except RuntimeError as error:
            raise _refusal(f"{method} cannot be loaded by ExecuTorch's runtime", error) from error
        self._methods[state, method] = loaded
        return loaded


def backends() -> dict[str, list[str]]:
    """Backends linked into the runtime, and those of them that this machine can use."""
    registered = sorted(runtime._get_registered_backend_names())
    usable = [name for name in registered if runtime._is_available(name)]
    return {"registered": registered, "usable": usable}


def main(descriptor: int) -> None:
    """Answer requests until the parent hangs up."""
    channel = Channel(socket.socket(fileno=descriptor))
    # A terminal's Ctrl-C reaches parent and child; the parent decides what becomes of the child.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    session: Session | None = None
    while True:
        try:
            request, arrays = channel.receive()
        except ConnectionError:
            break
        signal.setitimer(signal.ITIMER_REAL, request["timeout"] + _GRACE_SECONDS)
        reply: dict[str, Any] = {}
        outputs: list[Array] = []
        try:
            if request["operation"] == "backends":
                reply = backends()
            elif request["operation"] == "load":
                session = None
                session = Session(Path(request["path"]))
                reply = {"methods": session.inputs}
            elif session is None:
                raise InputError("no program is loaded")
            elif request["operation"] == "reset":
                session.reset(request["state"])
            else:
                outputs = session.call(request["method"], request["state"], arrays)
        except HarnessError as error:
            reply = {"error": type(error).__name__, "message": str(error)}
        except MemoryError:
            reply = {"error": "MachineError", "message": f"no memory for {request['operation']}"}
        except Exception as error:
            traceback.print_exc()
            reply = {
                "error": "HarnessError",
                "message": f"a bug of the harness in its native worker, at {request['operation']}: "
                f"{type(error).__name__}: {error}",
            }
        sys.stdout.flush()
        channel.send(reply, outputs)
        signal.setitimer(signal.ITIMER_REAL, 0)
    # Without the interpreter's and the backends' teardown: nothing is left to save.
    os._exit(0)


def _open(path: Path) -> Any:
    try:
        return runtime._load_program(
            str(path), program_verification=runtime.Verification.InternalConsistency
        )
    except (RuntimeError, IndexError) as error:
        raise ProgramError(f"{path} cannot be opened by ExecuTorch's runtime: {error}") from error


def _refusal(what: str, error: Exception) -> HarnessError:
    """What the runtime said, as the program's fault or as the machine's."""
    kind = MachineError if str(error).rstrip(".").endswith(_NO_MEMORY) else ExecutionError
    return kind(f"{what}: {error}")


def _version(path: Path) -> tuple[int, ...]:
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def _check_backends(path: Path, needed: set[str]) -> None:
    known = backends()
    missing = sorted(needed.difference(known["usable"]))
    if not missing:
        return
    advice = (
        "native MLX runs need macOS 14+ on Apple Silicon; use the portable executor"
        if MLX_BACKEND in missing
        else "use an ExecuTorch built with it"
    )
    raise UnavailableError(
        f"{path} needs {', '.join(missing)}, which the ExecuTorch runtime here does not have "
        f"(found: {', '.join(known['usable']) or 'none'}): {advice}"
    )


def _load_kernels(namespaces: set[str]) -> None:
    for namespace in sorted(namespaces.intersection(_KERNEL_LIBRARIES)):
        package, pattern = _KERNEL_LIBRARIES[namespace]
        # Found without importing the package, whose Python side pulls in the exporter.
        spec = importlib.util.find_spec(package)
        folders = spec.submodule_search_locations if spec is not None else None
        found = [file for folder in folders or () for file in Path(folder).glob(pattern)]
        if not found:
            raise UnavailableError(
                f"the program calls operators of {namespace}::, whose kernels ({pattern}) are not "
                f"in {package}; install the executorch wheel that pyproject.toml pins"
            )
        torch.ops.load_library(found[0])


def _to_numpy(method: str, index: int, value: Any) -> Array:
    if value is None:
        raise UnsupportedError(
            f"output {index} of {method} is None, expected a tensor or a number; export it without"
        )
    if not isinstance(value, torch.Tensor):
        return np.asarray(value)
    return from_torch(value.detach())


if __name__ == "__main__":
    main(int(sys.argv[1]))
