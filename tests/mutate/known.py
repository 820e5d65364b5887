"""Which faults change nothing, and why."""

from __future__ import annotations

import re

__all__ = ["equivalent"]

EQUIVALENT: tuple[tuple[str, str, tuple[str, ...]], ...] = ()

SURVIVORS: tuple[tuple[str, str, tuple[str, ...]], ...] = ()


def equivalent(name: str, precision: str) -> str:
    """Why a fault is none in a precision; empty where it is one."""
    return _reason(EQUIVALENT, name, precision)


def survivor(name: str, precision: str) -> str:
    """What it would take to see a fault that stays green; empty where it is seen."""
    return _reason(SURVIVORS, name, precision)


def _reason(table: tuple[tuple[str, str, tuple[str, ...]], ...], name: str, precision: str) -> str:
    for pattern, reason, precisions in table:
        if re.fullmatch(pattern, name) and (not precisions or precision in precisions):
            return reason
    return ""
