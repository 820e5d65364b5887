"""The constant methods of a `.pte`: sizes and other numbers that an export declares."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

from harness.pte.dtypes import SCALAR_TYPES
from harness.pte.plan import IntList, Plan, TensorList, TensorValue
from harness.pte.program import Program, read_program

__all__ = ["Value", "is_constant", "metadata", "read_metadata"]

Value = int | float | bool | str | None | list[Any]


def read_metadata(path: Path) -> dict[str, Value]:
    """The constant methods of a `.pte`, and nothing else; raises as `read_program` does."""
    with closing(read_program(path)) as program:
        return metadata(program)


def metadata(program: Program) -> dict[str, Value]:
    """What each constant method of a program returns; of a tensor, its type and shape as text."""
    return {name: _result(plan) for name, plan in program.plans.items() if is_constant(plan)}


def is_constant(plan: Plan) -> bool:
    """Whether a method runs nothing and takes nothing."""
    return not (plan.instructions or plan.inputs)


def _result(plan: Plan) -> Value:
    found: list[Value] = []
    for value in (plan.values[index] for index in plan.outputs):
        if isinstance(value, TensorValue):
            found.append(f"{SCALAR_TYPES[value.scalar_type].name}{list(value.sizes)}")
        elif isinstance(value, TensorList | IntList | tuple):
            found.append(list(value if isinstance(value, tuple) else value.items))
        else:
            found.append(value)
    return found[0] if len(found) == 1 else found
