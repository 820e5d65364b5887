"""Make a run's waveform the golden."""

from __future__ import annotations

from pathlib import Path

from harness import golden
from harness.parity import facts
from harness.parity.check import Checked
from harness.parity.judges.golden import golden_key, golden_statistics

__all__ = ["bless_golden"]


def bless_golden(checked: Checked, reason: str, root: Path | None = None) -> golden.Blessed:
    """Make the codec's waveform of this run the golden, if every other verdict passes.

    Raises
    ------
    InputError
        Parity is not green, or the reason is too short.
    """
    plan, observation = checked.plan, checked.observation
    return golden.bless(
        root or golden.default_root(),
        golden_key(plan, observation.executor),
        golden_statistics(plan, checked.evidence, observation),
        checked.evidence.speech.codes,
        golden.Provenance(
            date=facts.today(),
            checkpoint_digest=plan.checkpoint.digest,
            harness_version=facts.tool_version(),
            versions=facts.stack_versions(observation.executor),
        ),
        reason,
        [verdict for verdict in checked.verdicts if verdict.kind != "golden"],
    )
