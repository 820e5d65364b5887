"""Six methods × precisions × {MLX, XNNPACK}, and whose fault each difference is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from harness.compare import Status, Verdict, exit_code
from harness.errors import HarnessError
from harness.golden import pins
from harness.methods import ARTIFACTS, METHODS, Method, select_methods
from harness.methods.precision import parse_precision
from harness.parity.check import check, open_models, second_lowering
from harness.parity.request import Request

__all__ = ["COLUMNS", "Cell", "cells", "distinct"]

COLUMNS = ("MLX", "XNNPACK", "triangulation")


@dataclass(frozen=True)
class Cell:
    """What one column says of one method in one precision.

    Attributes
    ----------
    precision, method, column
        Where in the matrix; `column` is one of `COLUMNS`.
    verdicts
        Every judgement; never none.
    """

    precision: str
    method: str
    column: str
    verdicts: tuple[Verdict, ...]

    @property
    def status(self) -> Status:
        """Fail if any verdict failed, pass if all passed, else unjudged."""
        return {0: Status.PASS, 1: Status.FAIL, 2: Status.UNJUDGED}[exit_code(self.verdicts)]

    @property
    def headroom_used(self) -> float:
        """The most that a verdict on the method used of its allowance."""
        own = (v.headroom_telling for v in self.verdicts if v.subject == self.method)
        return max(own, default=0.0)


def distinct(judged: Iterable[Cell]) -> list[Verdict]:
    """Each verdict once: one on the machine or on a file is in the cell of several methods."""
    return list({id(one): one for cell in judged for one in cell.verdicts}.values())


def cells(
    request: Request,
    precisions: Sequence[str],
    progress: Callable[[str], None] = lambda text: None,
) -> Iterator[Cell]:
    """Judge the whole matrix, a precision at a time.

    Parameters
    ----------
    request
        Checkpoint, methods and capacities; its precision is replaced by each of `precisions`.
    precisions
        Names, in the order wanted.
    progress
        Called with one line a step.

    Raises
    ------
    InputError
        Something of the request makes no sense. What goes wrong within one precision makes its
        cells *unjudged* and leaves the others alone.
    """
    for precision in precisions:
        parse_precision(precision)  # a typo in the last is answered before the first is judged
    names = [method.name for method in select_methods(request.methods)]
    for precision in precisions:
        try:
            columns = _columns(replace(request, precision=precision, speak=False), progress)
        except HarnessError as error:
            columns = {
                (name, column): (Verdict(name, column, "execution", Status.UNJUDGED, str(error)),)
                for name in names
                for column in COLUMNS
            }
        for name in names:
            for column in COLUMNS:
                yield Cell(precision, name, column, columns[name, column])


def _columns(
    request: Request, progress: Callable[[str], None]
) -> dict[tuple[str, str], tuple[Verdict, ...]]:
    """The verdicts of one precision, by method and column."""
    models = open_models(request, progress)
    mlx = check(request, progress, models=models)
    xnnpack = second_lowering(mlx, models, progress)
    # What is pinned of eager is judged with both, and told once.
    pinned = [verdict for verdict in mlx.verdicts if verdict.case == pins.CASE]
    own = [v for v in xnnpack.verdicts if v.kind != "triangulation" and v.case != pins.CASE]
    found: dict[tuple[str, str], tuple[Verdict, ...]] = {}
    for method in mlx.plan.selected:
        found[method.name, "MLX"] = _concerning(mlx.verdicts, method)
        found[method.name, "XNNPACK"] = _concerning([*own, *pinned], method)
        found[method.name, "triangulation"] = tuple(
            verdict
            for verdict in xnnpack.verdicts
            if verdict.kind == "triangulation" and verdict.subject == method.name
        )
    return found


def _concerning(verdicts: Iterable[Verdict], method: Method) -> tuple[Verdict, ...]:
    """All verdicts but those on other methods, and on files that do not carry this one."""
    others = {*ARTIFACTS, *(one.name for one in METHODS)} - {method.name, method.artifact}
    return tuple(verdict for verdict in verdicts if verdict.subject not in others)
