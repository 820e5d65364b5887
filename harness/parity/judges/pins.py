"""Verdicts on eager itself: what it computes against what it was seen to compute."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from harness.arrays import Array
from harness.compare import Verdict
from harness.errors import InputError
from harness.golden import default_root, pins
from harness.golden.pins import Pin, Pins
from harness.methods import METHODS
from harness.parity.evidence import SPEECH, Evidence
from harness.parity.plan import CAPACITIES, UPSTREAM_CAPACITIES, Plan

__all__ = ["EXPECTED", "find_pins", "judge_pins", "pins_of"]

EXPECTED = ("tiny", "small")
"""Presets of which pins must exist, in each precision that has a drift."""

OPENING = "speech, before its first codes"
"""Label of the recorded calls that no code decides."""


def find_pins(plan: Plan, root: Path | None = None) -> Pins | None:
    """What is pinned of eager for the plan's checkpoint and precision; None if nothing is."""
    if not _pinned(plan):
        return None
    try:
        root = root or default_root()
    except InputError:
        return None  # installed without a checkout
    return pins.read(root, plan.checkpoint.name, plan.precision.name)


def judge_pins(plan: Plan, evidence: Evidence, kept: Pins | None) -> list[Verdict]:
    """Compare eager with its pins, where the run is one that pins are of."""
    if not _pinned(plan):
        return []
    if kept is None:
        expected = plan.checkpoint.name in EXPECTED
        return [pins.missing(plan.checkpoint.name, plan.precision.name)] if expected else []
    asked = {*plan.methods, *(["speech"] if len(plan.methods) == len(METHODS) else [])}
    found = pins.judge(kept, pins_of(plan, evidence))
    return [verdict for verdict in found if verdict.subject in asked]


def pins_of(plan: Plan, evidence: Evidence) -> Pins:
    """The pins of a run.

    Which codes a speech takes in 16 bits is the machine's affair: there, only calls that no code
    decides are pinned of it.
    """
    exact = plan.precision.float_type == "float32"
    methods: dict[str, dict[str, Pin]] = {}
    for method, cases in evidence.cases.items():
        methods[method] = {}
        for item in cases:
            label, outputs = item.case.label, item.outputs
            if label == SPEECH and not exact:
                label, outputs = OPENING, outputs[: _opening(method, evidence)]
            if outputs:
                methods[method][label] = Pin.of(outputs)
    speech = {
        "prompt": _digest(evidence.prompt.ids),
        "text decoder's calls before the first frame": str(_opening("text_decoder", evidence)),
        "codes of chosen values": ",".join(map(str, evidence.rounded.tolist())),
    }
    if exact:
        speech["frames"] = str(evidence.speech.frames)
        speech["ended"] = str(evidence.speech.ended)
        speech["codes"] = _digest(evidence.speech.codes)
    checkpoint = plan.checkpoint
    return Pins(checkpoint.name, plan.precision.name, checkpoint.digest, methods, speech)


def _opening(method: str, evidence: Evidence) -> int:
    """How many of a method's recorded calls no code decides: the prompt, the first decision."""
    prompts = len(evidence.cases["token_embedding"][0].case.calls)
    counts = {"token_embedding": prompts, "text_decoder": prompts, "semantic_head": 1}
    return counts.get(method, 2 if method == "predict_velocity" else 0)


def _pinned(plan: Plan) -> bool:
    # Given files may be of other capacities, in which eager's cases are others, too.
    sizes = plan.sizes.max_seq_len, plan.sizes.max_codec_frames
    ours = plan.preset is not None and sizes == CAPACITIES.get(plan.preset, UPSTREAM_CAPACITIES)
    return plan.usual and ours and plan.precision.name in pins.DRIFT


def _digest(values: Array) -> str:
    return hashlib.sha256(np.ascontiguousarray(values, "<i8").tobytes()).hexdigest()
