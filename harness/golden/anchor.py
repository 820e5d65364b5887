"""What others measured with the published weights: an anchor outside of this project.

The file ``golden/external/<name>.json`` holds figures that somebody published, with their source,
and how to recognise the checkpoint they are of. A run with that checkpoint is compared with
them; nobody blesses them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.compare import words
from harness.compare.sound import WaveformStatistics
from harness.compare.verdict import Gate, Metric, Status, Verdict
from harness.errors import InputError, in_a_sentence
from harness.files import read_json
from harness.golden.store import EXTERNAL
from harness.values import decode

__all__ = ["Anchor", "find_anchor", "judge_anchor", "read_anchors"]

_JUDGED = {"duration": "s", "peak": "of full scale", "clipped": "samples"}
"""Figures that a run is held to, and their units."""


@dataclass(frozen=True)
class Anchor:
    """Published figures of one sentence: of which model (`name`), and by whom (`source`).

    Attributes
    ----------
    params
        Entries of `params.json`, by dotted path, that the checkpoint has.
    voices
        Voices that it has: a synthetic checkpoint of the same sizes has not.
    request
        What was said: ``text``, ``seed`` and so on.
    figures
        What came out: ``duration``, ``peak``, ``clipped``, ``transcript``, ``rtf``, ``warm_rtf``.
    allowed, reason
        How far a run may be from some of them, and why as far as that.
    """

    name: str
    source: str
    params: Mapping[str, Any]
    voices: tuple[str, ...]
    request: Mapping[str, Any]
    figures: Mapping[str, Any]
    allowed: Mapping[str, float]
    reason: str


def read_anchors(root: Path) -> list[Anchor]:
    """Every anchor below `root`, the goldens' directory; `InputError` if one is damaged."""
    found = []
    for path in sorted((root / EXTERNAL).glob("*.json")):
        try:
            anchor: Anchor = decode(read_json(path, "anchor"), Anchor)
            for name in _JUDGED:
                float(anchor.figures[name]), float(anchor.allowed[name])
            anchor.figures["transcript"], anchor.figures["rtf"]
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InputError(
                f"anchor {path.name} is damaged ({in_a_sentence(error)}); restore it from version "
                "control"
            ) from None
        found.append(anchor)
    return found


def find_anchor(
    anchors: list[Anchor], params: Mapping[str, Any], voices: tuple[str, ...]
) -> Anchor | None:
    """The anchor of a checkpoint with this `params.json` and these voices; None without one."""
    for anchor in anchors:
        same = all(_entry(params, path) == value for path, value in anchor.params.items())
        if same and set(anchor.voices) <= set(voices):
            return anchor
    return None


def judge_anchor(
    anchor: Anchor,
    statistics: WaveformStatistics,
    *,
    transcript: str | None = None,
    rtf: float | None = None,
) -> Verdict:
    """Compare a run with the published figures; speed is told, not judged: it is the machine's.

    `statistics` are of the sentence's waveform, `transcript` is what a recogniser made of it,
    normalised (None if nobody listened), and `rtf` the run's real-time factor.
    """
    figures, allowed = anchor.figures, anchor.allowed
    gates: list[Gate] = []
    metrics: dict[str, Metric] = {}
    for name, unit in _JUDGED.items():
        old, new = figures[name], getattr(statistics, name)
        gates.append(Gate(name, abs(new - old), allowed[name], unit))
        metrics |= {f"{name}.old": old, f"{name}.new": new}
    if transcript is not None:
        same = transcript.split() == str(figures["transcript"]).lower().split()
        gates.append(Gate("transcript", 0 if same else 1, 0, "sentences"))
        metrics |= {"transcript.old": figures["transcript"], "transcript.new": transcript}
    if rtf is not None:
        metrics |= {"rtf.old": figures["rtf"], "rtf.new": rtf}
    missed = [gate for gate in gates if not gate.passed]
    told = f"{statistics.duration:.2f} s, peak {statistics.peak:.5f}, {statistics.clipped} clipped"
    published = f"{figures['duration']} s, {figures['peak']}, {figures['clipped']}"
    summary = f"{told}; published: {published}"
    if missed:
        summary += "; too far: " + ", ".join(
            f"{gate.name} by {words.number(gate.value)} {gate.unit}" for gate in missed
        )
    status = Status.FAIL if missed else Status.PASS
    notes = (f"Published by {anchor.source}.", f"Allowed: {anchor.reason}.")
    return Verdict("speech", "published figures", "golden", status, summary, metrics,
                   tuple(gates), len(gates), notes)  # fmt: skip


def _entry(params: Mapping[str, Any], path: str) -> Any:
    value: Any = params
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
