"""The corrections that an architecture's stock failure needs."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from harness.export.corrections import corrections
from harness.export.patching import listed_once
from harness.zoo.architectures.judging import Case, lowerings_of
from harness.zoo.trial import Outcome

__all__ = ["cure_of", "needed"]

Names = tuple[str, ...]


def cure_of(case: Case, corrected: Outcome) -> Names:
    """Corrections with which a program is as good as with all; none of them can be left out."""
    every = tuple(corrections())
    with lowerings_of(case) as module, listed_once():

        @cache
        def cures(names: Names) -> bool:
            found = module.outcome([name for name in every if name not in names])
            return found.verdict is corrected.verdict or found.better(corrected)

        return needed(every, cures)


def needed(names: Names, cures: Callable[[Names], bool]) -> Names:
    """A part of `names` that cures, and of which none can be left out; no name must not cure.

    What cures is taken to do so with more beside it, too: then halving finds one of n names with
    at most 1 + log2 n questions. Several take at most twice as many each.
    """
    guess = names
    while len(guess) > 1:
        half = guess[: len(guess) // 2]
        guess = half if cures(half) else guess[len(half) :]
    return guess if cures(guess) else _several(names, cures, ())


def _several(names: Names, cures: Callable[[Names], bool], kept: Names) -> Names:
    """What is needed beside `kept`, which does not cure alone, and does with all names."""
    if len(names) == 1:
        return names
    one, other = names[: len(names) // 2], names[len(names) // 2 :]
    for half in (one, other):
        if cures(kept + half):
            return _several(half, cures, kept)
    first = _several(one, cures, kept + other)
    return first + _several(other, cures, kept + first)
