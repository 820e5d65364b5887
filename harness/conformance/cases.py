"""The cases by name, what became of them, and choosing some."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.errors import InputError

__all__ = ["FAILED", "PASSED", "UNSUPPORTED", "Case", "Mode", "Outcome", "select"]

PASSED, FAILED, UNSUPPORTED = "passed", "failed", "unsupported"


@dataclass(frozen=True)
class Mode:
    """How cases are lowered and run.

    Attributes
    ----------
    faithful
        Run with the bits of upstream's interpreter on the CPU (`PortableExecutor.faithful`).
    float64
        Run wholly in float64 (`ExactExecutor`), so that the meaning of each node type is judged.
    corrected
        Lower with this project's corrections instead of upstream's stock handlers.
    """

    faithful: bool = False
    float64: bool = False
    corrected: bool = False

    @property
    def executor(self) -> str:
        """What runs the cases."""
        return "exact" if self.float64 else "portable:faithful" if self.faithful else "portable"


@dataclass(frozen=True, order=True)
class Case:
    """One configuration of one of upstream's test classes.

    Attributes
    ----------
    suite
        ``ops``, or the custom kernels' module: ``gated_delta_rule``, ``gguf.linear``, …
    group, index
        Upstream's name of the class, e.g. ``conv1d``, and which of its configurations.
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
    reason
        Why it did not pass; if it did, empty, or upstream's word that it compares nothing here.
    need
        What it takes to run an unsupported case: ``"Metal"``, or a package; empty if unknown.
    seconds, cpu_seconds
        Wall time, and user and system time, of what the case started too; with lowering.
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
        A word that names nothing, or is empty: every name holds that.
    """
    chosen: set[Case] = set() if words else set(cases)
    for word in words:
        found = {c for c in cases if word in (c.suite, c.group, c.name)}
        found = found or {c for c in cases if word in c.group or word in c.name}
        if not found or not word:
            groups = sorted({case.group for case in cases})
            raise InputError(
                f"no test class or configuration has {word!r} in its name; classes are "
                f"{', '.join(groups[:8])}, … ({len(groups)} in all, `--list` shows them)"
            )
        chosen |= found
    return [case for case in cases if case in chosen]
