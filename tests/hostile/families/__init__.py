"""The families of hostile cases."""

from __future__ import annotations

from collections.abc import Iterator

from tests.hostile.case import Case
from tests.hostile.families import cache, checkpoint, document, paths, program, terminal, values

__all__ = ["all_cases"]


def all_cases() -> Iterator[Case]:
    """Every case of every family."""
    for family in (paths, values, checkpoint, program, document, cache, terminal):
        yield from family.cases()
