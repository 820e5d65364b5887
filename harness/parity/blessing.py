"""Make a run's waveform the golden."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from harness import golden
from harness.golden.judge import Change, changes
from harness.parity import facts
from harness.parity.check import Checked
from harness.parity.judges.golden import golden_run

__all__ = ["bless_golden"]


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
    plan, observation = checked.plan, checked.observation
    run = dataclasses.replace(
        golden_run(plan, checked.evidence, observation),
        reason=reason,
        date=facts.today(),
        versions={"voxtral-parity": facts.tool_version(),
                  **facts.stack_versions(observation.executor)},
    )  # fmt: skip
    others = [verdict for verdict in checked.verdicts if verdict.kind != "golden"]
    previous = golden.bless(root or golden.default_root(), run, others)
    return changes(previous, run) if previous is not None else []
