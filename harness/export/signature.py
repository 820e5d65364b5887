"""A program's signature: one parameter of several placeholders, and inputs that are no tensors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from harness.export.patching import patched

__all__ = ["one_slot_for_one_parameter", "without_constant_inputs"]


@contextmanager
def one_slot_for_one_parameter() -> Iterator[None]:
    """Placeholders of one parameter share its slot, so that the slot has the parameter's name."""
    from executorch.backends.mlx.builder.program_builder import MLXProgramBuilder
    from executorch.backends.mlx.builder.slot_manager import IdSpace, Slot

    stock = MLXProgramBuilder._make_io_slots

    def make(self: Any) -> None:
        stock(self)
        first: dict[str, Any] = {}
        named = self.slot_manager.name_to_slot
        for spec in self.ep.graph_signature.input_specs:
            slot = named.get(spec.arg.name)
            constant = isinstance(slot, Slot) and slot.id_space is IdSpace.Constant
            if constant and spec.target is not None:
                named[spec.arg.name] = first.setdefault(spec.target, slot)

    with patched(MLXProgramBuilder, "_make_io_slots", make):
        yield


@contextmanager
def without_constant_inputs() -> Iterator[None]:
    """An input that is None, a number or text is no slot: what it says was traced."""
    from executorch.backends.mlx.builder.program_builder import MLXProgramBuilder
    from torch.export.graph_signature import ConstantArgument

    stock = MLXProgramBuilder._make_io_slots

    def make(self: Any) -> None:
        signature = self.ep.graph_signature
        tensors = [s for s in signature.input_specs if not isinstance(s.arg, ConstantArgument)]
        whole = self.ep._graph_signature
        self.ep._graph_signature = replace(signature, input_specs=tensors)
        try:
            stock(self)
        finally:
            self.ep._graph_signature = whole

    with patched(MLXProgramBuilder, "_make_io_slots", make):
        yield
