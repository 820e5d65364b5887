"""Time contenders side by side."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping

__all__ = ["Work", "alternate"]

Work = Callable[[], object]


def alternate(contenders: Mapping[str, Work], rounds: int) -> dict[str, tuple[float, ...]]:
    """Seconds of each contender in every round; who goes first changes from round to round.

    A machine that slows down then slows all of them, and what the first leaves behind (warm
    files, garbage) falls to each of them alike. One round before the first, which loads weights
    and fills caches, is not counted.
    """
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(-1, rounds):
        order = list(contenders.items())
        for name, work in order if number % 2 == 0 else reversed(order):
            gc.collect()
            started = time.perf_counter()
            work()
            seconds = time.perf_counter() - started
            if number >= 0:
                taken[name].append(seconds)
    return {name: tuple(seconds) for name, seconds in taken.items()}
