"""Make a run's waveform the golden, and what eager computed in it the pins."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from harness import golden
from harness.compare import Verdict
from harness.errors import InputError
from harness.golden import pins
from harness.golden.judge import Change, changes
from harness.parity import facts
from harness.parity.check import Checked
from harness.parity.judges.golden import golden_run
from harness.parity.judges.pins import pins_of

__all__ = ["bless_golden", "bless_pins"]


def bless_golden(checked: Checked, reason: str, root: Path | None = None) -> list[Change]:
    """Make the codec's waveform of this run the golden, if every other verdict passes.

    Returns
    -------
    list of Change
        How far each statistic moved from the golden that it replaces; empty if it is the first.

    Raises
    ------
    InputError
        Parity is not green, or the reason is too short.
    """
    made = golden_run(checked.plan, checked.evidence, checked.observation)
    run = dataclasses.replace(made, **_signed(checked, reason))
    previous = golden.bless(root or golden.default_root(), run, _parity(checked))
    return changes(previous, run) if previous is not None else []


def bless_pins(checked: Checked, reason: str, root: Path | None = None) -> list[str]:
    """Pin what eager computed in this run, if every verdict against it passes.

    Returns
    -------
    list of str
        What moved, one line each. Pins that still hold stay as they are, and nothing moved.

    Raises
    ------
    InputError
        Parity is not green, the reason is too short, or of this run nothing is pinned.
    """
    plan = checked.plan
    if not plan.usual or plan.preset is None:
        raise InputError("only what eager computes of a preset is pinned; leave --checkpoint out")
    run = dataclasses.replace(pins_of(plan, checked.evidence), **_signed(checked, reason))
    return pins.bless(root or golden.default_root(), run, _parity(checked))


def _signed(checked: Checked, reason: str) -> dict[str, Any]:
    stack = facts.stack_versions(checked.observation.executor)
    versions = {"voxtral-parity": facts.tool_version(), **stack}
    return {"reason": reason, "date": facts.today(), "versions": versions}


def _parity(checked: Checked) -> list[Verdict]:
    return [verdict for verdict in checked.verdicts if verdict.kind != "golden"]
