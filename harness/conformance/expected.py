"""How many cases must be judged: a suite that loses cases would stay green without it.

``expected.json`` holds, for each version of executorch and each suite, how many cases there are,
how many of them cannot run without something: ``Metal`` (an Apple GPU, which the portable
executor does not use), or a package that is not installed; and how many cannot be judged in
float64: a node type has no ``meaning`` in real numbers, or a case compares ``rounding``.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.conformance.cases import FAILED, PASSED, UNSUPPORTED, Outcome
from harness.files import read_json

__all__ = ["MEANING", "METAL", "PACKAGES", "ROUNDING", "unjudged"]

METAL = "Metal"
MEANING, ROUNDING = "meaning", "rounding"
"""What some cases lack in float64."""

PACKAGES = ("gguf", "transformers")
"""What some cases need and executorch does not bring; the dependency group ``conformance``."""

_FILE = Path(__file__).with_name("expected.json")


def unjudged(
    outcomes: Sequence[Outcome],
    version: str,
    *,
    whole: bool,
    float64: bool = False,
    expectations: Mapping[str, Any] | None = None,
) -> list[str]:
    """What should have been judged by this version of executorch and was not, a sentence each.

    Where these are all cases (`whole`), every suite must have judged as many as expected, in
    float64 or as they are; `expectations` stand in for the committed ones.
    """
    absent = _absent() | ({MEANING, ROUNDING} if float64 else set())
    found = [
        f"{outcome.case.name} was not judged: {outcome.reason}"
        for outcome in outcomes
        if outcome.status == UNSUPPORTED and outcome.need not in absent
    ]
    if not whole:
        return found
    suites = (expectations or read_json(_FILE, "expectations")).get(version)
    if suites is None:
        return [*found, f"{_FILE.name} says nothing of executorch {version}; add its counts to it"]
    for suite, expected in suites.items():
        judged = sum(o.case.suite == suite and o.status in (PASSED, FAILED) for o in outcomes)
        lacking = {**expected["unsupported"], **expected.get("float64", {})}
        allowed = sum(n for need, n in lacking.items() if need in absent)
        least = expected["cases"] - allowed
        if judged < least:
            found.append(f"{suite}: {judged:,} cases were judged, at least {least:,} expected")
    return found


def _absent() -> set[str]:
    """What some cases need and this machine, or the portable executor, does not have."""
    return {METAL, *(name for name in PACKAGES if importlib.util.find_spec(name) is None)}
