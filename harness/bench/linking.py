"""What the two links take of a warm `check`, in processor time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import import_module
from typing import Any
from unittest import mock

from harness.parity import Request, check

__all__ = ["LIMIT", "LinkTime", "bench_links"]

LIMIT = 2.5
"""How many times as long a check may take with the links as without them."""

_LINKS = (
    ("harness.parity.check", "observe_exact"),
    ("harness.parity.observe", "observe_local"),
)


@dataclass(frozen=True)
class LinkTime:
    """Seconds of processor time of one check, and of the links in it."""

    precision: str
    total: float
    links: float

    @property
    def ratio(self) -> float:
        """How many times as long it takes with the links as without."""
        return self.total / (self.total - self.links)

    @property
    def met(self) -> bool:
        """Whether that is within the limit."""
        return self.ratio <= LIMIT


def bench_links(
    precisions: tuple[str, ...],
    progress: Callable[[str], None] = lambda text: None,
    *,
    checkpoint: str = "tiny",
    rounds: int = 3,
) -> Iterator[LinkTime]:
    """Check `rounds` times in each precision, once more before that; the quickest one counts."""
    for precision in precisions:
        request = Request(checkpoint=checkpoint, precision=precision, executor="portable")
        check(request, progress)
        times = []
        for number in range(rounds):
            progress(f"{precision}, round {number + 1} of {rounds}")
            times.append(_timed(request, precision))
        yield min(times, key=lambda found: found.total)


def _timed(request: Request, precision: str) -> LinkTime:
    spent = 0.0

    def watched(function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*given: Any, **named: Any) -> Any:
            nonlocal spent
            started = time.process_time()
            try:
                return function(*given, **named)
            finally:
                spent += time.process_time() - started

        return run

    with ExitStack() as stack:
        for module, function in _LINKS:
            original = getattr(import_module(module), function)
            stack.enter_context(mock.patch(f"{module}.{function}", watched(original)))
        started = time.process_time()
        check(request)
        return LinkTime(precision, time.process_time() - started, spent)
