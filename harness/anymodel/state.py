"""State that a module keeps in its buffers: whether it changes, and whether outputs show it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.export import ExportedProgram

from harness.anymodel.flat import Flat, run
from harness.localize.graph import with_own_buffers
from harness.upstream import quiet

__all__ = ["changes", "unseen"]


def changes(flat: Flat, inputs: Sequence[Tensor]) -> tuple[bool, bool]:
    """Whether a call changes buffers, and whether the module takes the same call once more."""
    module = with_own_buffers(flat)
    before = _versions(module)
    if not before:
        return False, False
    try:
        run(module, [tensor.clone() for tensor in inputs])
        if _versions(module) == before:
            return False, False
    except Exception:
        return False, False  # who runs the module tells of it
    try:
        run(module, [tensor.clone() for tensor in inputs])
    except Exception:
        return True, False
    return True, True


def _versions(module: Flat) -> dict[str, tuple[int, int]]:
    return {name: (id(buffer), buffer._version) for name, buffer in module.named_buffers()}


def unseen(program: ExportedProgram) -> tuple[str, ...]:
    """The buffers that a program changes without a trace in any output, of any later call."""
    with quiet():
        functional = program.run_decompositions({})
    signature = functional.graph_signature
    nodes = {node.name: node for node in functional.graph.nodes}
    placeholders = {buffer: name for name, buffer in signature.inputs_to_buffers.items()}
    hidden = {
        buffer: _behind(nodes[placeholders[buffer]]) | _behind(nodes[written])
        for written, buffer in signature.buffers_to_mutate.items()
    }
    shown = {*signature.user_outputs, *signature.user_inputs_to_mutate}
    while found := [buffer for buffer, names in hidden.items() if names & shown]:
        for buffer in found:
            del hidden[buffer]
        shown |= {w for w, buffer in signature.buffers_to_mutate.items() if buffer in found}
    return tuple(sorted(name.removeprefix("model.") for name in hidden))


def _behind(node: Any) -> set[str]:
    """A node's name, and those of all that depends on it but the output."""
    found: set[str] = set()
    waiting = [node]
    while waiting:
        here = waiting.pop()
        if here.name not in found and here.op != "output":
            found.add(here.name)
            waiting += here.users
    return found
