"""The constant methods of a `.pte`: sizes and other numbers that an export declares."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.pte.dtypes import SCALAR_TYPES
from harness.pte.inspection.model import MetadataMethod, Tensor
from harness.pte.plan import Plan, TensorValue
from harness.pte.program import read_program

__all__ = ["metadata", "planned", "read_metadata"]


def read_metadata(path: Path) -> tuple[MetadataMethod, ...]:
    """Read the constant methods of a `.pte` and nothing else.

    Raises
    ------
    ProgramError
        The file is missing, truncated, damaged or not what it should be.
    """
    program = read_program(path)
    try:
        return metadata(program.plans)
    finally:
        program.close()


def metadata(plans: Mapping[str, Plan]) -> tuple[MetadataMethod, ...]:
    """The constant methods among `plans`: they run nothing and take nothing."""
    return tuple(
        MetadataMethod(name, _constant(plan))
        for name, plan in plans.items()
        if not (plan.instructions or plan.inputs)
    )


def _constant(plan: Plan) -> Any:
    """What a constant method returns; of a tensor, its type."""
    values = [plan.values[index] for index in plan.outputs]
    plain = [planned(v) if isinstance(v, TensorValue) else v for v in values]
    return plain[0] if len(plain) == 1 else tuple(plain)


def planned(value: TensorValue) -> Tensor:
    """What a plan says of a tensor."""
    name = SCALAR_TYPES[value.scalar_type].name
    if not value.dynamic:
        return Tensor(name, value.sizes)
    # A plan says that a shape is open, not which of its dimensions are.
    return Tensor(name, (None,) * len(value.sizes), value.sizes)
