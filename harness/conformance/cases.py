"""The cases by name, what became of them, and choosing some."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.errors import InputError

__all__ = ["FAILED", "PASSED", "UNSUPPORTED", "Case", "Outcome", "select"]

PASSED, FAILED, UNSUPPORTED = "passed", "failed", "not supported here"


@dataclass(frozen=True, order=True)
class Case:
    """One configuration of one of upstream's test classes.

    Attributes
    ----------
    suite
        ``ops``, or the custom kernels' module: ``gated_delta_rule``, ``gguf.linear``, …
    group
        Upstream's name of the class, e.g. ``conv1d``.
    index
        Which of the class's configurations.
    name
        Upstream's name of the configuration; where two have the same, ``#2`` makes it another.
    """

    suite: str
    group: str
    index: int
    name: str


@dataclass(frozen=True)
class Outcome:
    """What became of a case.

    Attributes
    ----------
    status
        `PASSED`, `FAILED` or `UNSUPPORTED`.
    reason
        Why it did not pass; if it did, empty, or upstream's word that it compares nothing here.
    need
        What it takes to run an unsupported case: ``"Metal"``, or a package; empty if unknown.
    seconds
        Wall time, lowering included where there was any.
    cpu_seconds
        User and system time of the same, of what the case started too.
    cached
        Whether the lowered program came from the cache.
    """

    case: Case
    status: str
    reason: str = ""
    need: str = ""
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    cached: bool = False


def select(cases: Sequence[Case], words: Sequence[str]) -> list[Case]:
    """The cases that `words` name; all of them without a word.

    A word that is the name of a suite, a class or a configuration means just that; any other
    means every class and configuration whose name holds it.

    Raises
    ------
    InputError
        A word that names nothing.
    """
    chosen: set[Case] = set() if words else set(cases)
    for word in words:
        found = {c for c in cases if word in (c.suite, c.group, c.name)}
        found = found or {c for c in cases if word in c.group or word in c.name}
        if not found:
            groups = sorted({case.group for case in cases})
            raise InputError(
                f"no test class or configuration has {word!r} in its name; classes are "
                f"{', '.join(groups[:8])}, … ({len(groups)} in all, `--list` shows them)"
            )
        chosen |= found
    return [case for case in cases if case in chosen]
