"""Watch the steps of an executor that shows outputs alone: needs no torch."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from harness.arrays import Array
from harness.fingerprint import Regime
from harness.localize.steps import read_steps
from harness.localize.tapped import portable, tapped_steps
from harness.runtime.protocol import Executor, StepError

__all__ = ["WatchedThroughTaps"]


class WatchedThroughTaps:
    """An executor that shows outputs alone, watched through the taps of one method's program.

    Parameters
    ----------
    executor
        It is given the program, and keeps it.
    path, entry, order
        The program with taps, its method, and the nodes whose values are the outputs behind its
        own.
    regime
        How exactly the executor multiplies.
    """

    def __init__(
        self,
        executor: Executor,
        path: Path,
        entry: str,
        order: Sequence[str],
        regime: Regime | None,
    ) -> None:
        executor.load(path)
        self._executor, self._judge, self._regime = executor, portable(), regime
        self._judge.load(path)
        places, _ = read_steps(path, entry)
        probe = self._judge.probe(entry)
        self._known = tapped_steps(probe, places, order)
        self._steps, self._shown = {step.index for step in probe.steps}, set[int]()

    @property
    def hidden(self) -> int:
        """Steps that showed nothing in any call, such as the first of two that a node became.

        What they make is in what the step behind them has.
        """
        return len(self._steps - self._shown)

    def reset(self, state: str = "default") -> None:
        """As `Executor.reset`."""
        self._executor.reset(state)
        self._judge.reset(state)

    def watch(
        self,
        method: str,
        inputs: Sequence[Array],
        *,
        state: str = "default",
        repair: Collection[int] = (),
    ) -> tuple[list[Array], list[StepError]]:
        """As `Watchable.watch`; of the steps, those whose values the executor showed."""
        from harness.runtime.portable.local import Given  # needs mlx

        outputs = self._executor.call(method, inputs, state=state)
        own = len(outputs) - len(self._known)
        values = dict(zip(self._known, outputs[own:], strict=True))
        given = Given(values, self._regime)
        _, steps = self._judge.watch(method, inputs, state=state, repair=repair, given=given)
        shapes = {(step, value.shape) for (step, _), value in values.items()}
        seen = list(_seen(steps, shapes))
        self._shown |= {step.step for step in seen}
        return outputs[:own], seen

    def close(self) -> None:
        """Close the judge; the executor is another's."""
        self._judge.close()


def _seen(
    steps: Sequence[StepError], shapes: Collection[tuple[int, tuple[int, ...]]]
) -> Iterator[StepError]:
    """The steps whose values are the executor's own; the others are the judge's.

    `shapes` has each step that a value was shown of, with the value's shape: a value of another
    shape than the step's is a view of it, and not taken for it.
    """
    before = set[int]()
    for step in steps:
        shown = step.error is None or (step.step, tuple(step.error.shape)) in shapes
        # One without a tap comes twice where the exact step behind it shows what it made.
        if step.op != "output" and (shown or step.step in before):
            yield step
        before.add(step.step)
