"""Run a control on an executor: proof that the delegate's payload is what ran."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from harness.arrays import Array
from harness.errors import ExecutionError, ProgramError
from harness.parity.observation import ControlObservation, Refusal
from harness.parity.replay import guarded
from harness.pte.control import draw
from harness.runtime.protocol import Executor

__all__ = ["observe_control"]


def observe_control(template: bytes, make: Callable[[], Executor]) -> ControlObservation:
    """What an executor makes of a control drawn now, and of the same one damaged.

    Parameters
    ----------
    template
        The control program before its constants are drawn.
    make
        Makes a fresh executor.
    """
    control = draw()
    with tempfile.TemporaryDirectory() as scratch:

        def run(name: str, content: bytes) -> Array:
            path = Path(scratch) / name
            path.write_bytes(content)
            with closing(make()) as executor:
                executor.load(path)
                (output,) = executor.call("forward", [control.x])
                return output

        output = guarded(lambda: run("control.pte", control.program(template)))
        damaged = control.damaged(template)
        refused = guarded(lambda: _refusal(lambda: run("damaged.pte", damaged)))
    if isinstance(output, Refusal):
        return ControlObservation(control, refusal=output)
    if isinstance(refused, Refusal):
        return ControlObservation(control, output, refusal=refused)
    return ControlObservation(control, output, refused)


def _refusal(work: Callable[[], object]) -> str:
    """In which words the program was refused; empty if it was not.

    A machine that fails, or lacks something, has refused nothing.
    """
    try:
        work()
    except (ExecutionError, ProgramError) as error:
        return str(error)
    return ""
