"""Make a run's waveform the golden, and what eager computed in it the pins."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from harness import golden
from harness.budget.regimes import NAMES
from harness.compare import Verdict, exit_code
from harness.errors import InputError
from harness.golden import pins, store
from harness.golden.judge import DRIFT, Change, changes
from harness.golden.pins import Pins
from harness.golden.waiting import waiting_path
from harness.parity import facts
from harness.parity.check import Checked
from harness.parity.judges.golden import find_golden, golden_run
from harness.parity.judges.pins import outputs_of, pins_of

__all__ = ["bless_golden", "bless_pins", "keep_waiting"]


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
    """Pin what eager, and what the programs, computed, if every verdict against eager passes.

    Returns
    -------
    list of str
        What moved, one line each. Pins that still hold stay as they are, and nothing moved.

    Raises
    ------
    InputError
        Parity is not green, the reason is too short, or of this run nothing is pinned.
    """
    if not checked.plan.usual or checked.plan.preset is None:
        raise InputError("only what eager computes of a preset is pinned; leave --checkpoint out")
    parity, where = _parity(checked), root or golden.default_root()
    signed = _signed(checked, reason)
    return [
        line
        for run in _pins(checked)
        for line in pins.bless(where, dataclasses.replace(run, **signed), parity)
    ]


def keep_waiting(checked: Checked, root: Path | None = None) -> list[Path]:
    """Let what a green run would be blessed as wait where its golden is missing or does not hold.

    What waited for a golden that holds is removed. A run whose parity is not green leaves all as it
    is.

    Returns
    -------
    list of Path
        What waits now.
    """
    parity, where = _parity(checked), root or golden.default_root()
    if exit_code(parity):
        return []
    signed = _signed(checked, "waits to be blessed")
    found = []
    for run in _pins(checked):
        kept = pins.read_at(run.path(where), where)
        fresh = dataclasses.replace(run, **signed)
        holds = kept is not None and not pins.beside(kept, run)
        found += _wait(run.path(where), holds, partial(pins.write, run=fresh))
    plan = checked.plan
    if plan.precision.name in DRIFT and plan.usual and plan.preset is not None:
        made = golden_run(plan, checked.evidence, checked.observation)
        fresh_golden = dataclasses.replace(made, **signed)
        old = find_golden(plan, checked.observation.executor, where)
        holds = old is not None and not exit_code(golden.judge(old, made))
        found += _wait(made.key.path(where), holds, partial(store.write, golden=fresh_golden))
    return found


def _wait(place: Path, holds: bool, write: Callable[[Path], None]) -> list[Path]:
    waiting = waiting_path(place)
    if holds:
        waiting.unlink(missing_ok=True)
        return []
    write(waiting)
    return [waiting]


def _pins(checked: Checked) -> list[Pins]:
    """What eager and the programs computed, as far as a drift is declared for it."""
    plan, evidence = checked.plan, checked.evidence
    if not plan.usual or plan.preset is None:
        return []
    found = (pins_of(plan, evidence), outputs_of(plan, evidence, checked.observation))
    return [run for run in found if run.drift is not None and run.regime in ("", *NAMES)]


def _signed(checked: Checked, reason: str) -> dict[str, Any]:
    stack = facts.stack_versions(checked.observation.executor)
    versions = {"voxtral-parity": facts.tool_version(), **stack}
    return {"reason": reason, "date": facts.today(), "versions": versions}


def _parity(checked: Checked) -> list[Verdict]:
    return [verdict for verdict in checked.verdicts if verdict.kind != "golden"]
