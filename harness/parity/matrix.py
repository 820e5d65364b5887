"""Six methods × precisions × {MLX, XNNPACK}, and the third opinion on each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from harness.compare import Status, Verdict, exit_code
from harness.compare.triangulate import headroom
from harness.errors import HarnessError
from harness.methods import Method
from harness.parity.request import Request
from harness.parity.run import Parity
from harness.parity.triangulate import OnXnnpack, third_opinion

__all__ = ["COLUMNS", "Cell", "cells"]

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
        """The most that any verdict used of its allowance."""
        return max(headroom(verdict) for verdict in self.verdicts)


def cells(
    request: Request,
    precisions: Sequence[str],
    progress: Callable[[str], None] = lambda text: None,
) -> Iterator[Cell]:
    """Judge the whole matrix, a method and precision at a time.

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
        Something of the request makes no sense. What goes wrong within one precision makes
        that cell *unjudged* and leaves the others alone.
    """
    runs = [
        Parity(replace(request, precision=precision), progress) for precision in precisions
    ]  # a typo in the last is answered before the first is judged
    for precision, mlx in zip(precisions, runs, strict=True):
        xnnpack = OnXnnpack(mlx, progress)
        for method in mlx.methods:
            yield from _row(precision, method, mlx, xnnpack)
        mlx.close()
        xnnpack.close()


def _row(precision: str, method: Method, mlx: Parity, xnnpack: Parity) -> Iterator[Cell]:
    judges: tuple[Callable[[], list[Verdict]], ...] = (
        lambda: mlx.judge(method),
        lambda: xnnpack.judge(method),
        lambda: third_opinion(mlx, xnnpack, [method]),
    )
    for column, judge in zip(COLUMNS, judges, strict=True):
        yield Cell(precision, method.name, column, _judged(column, method, judge))


def _judged(column: str, method: Method, judge: Callable[[], list[Verdict]]) -> tuple[Verdict, ...]:
    try:
        return tuple(judge())
    except HarnessError as error:
        verdict = Verdict(method.name, column, "execution", Status.UNJUDGED, str(error))
        return (verdict,)
