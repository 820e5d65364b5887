"""Verdicts on what eager, and what programs, compute against what they were seen to compute."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from harness.arrays import Array
from harness.budget.regimes import NAMES
from harness.compare import Verdict
from harness.errors import InputError
from harness.fingerprint import Fingerprint
from harness.golden import default_root, pins
from harness.golden.pins import Pin, Pins
from harness.methods import CODEC, METHODS
from harness.parity.evidence import SPEECH, Evidence
from harness.parity.judges.golden import golden_key
from harness.parity.observation import Observation
from harness.parity.plan import Plan, capacities

__all__ = [
    "EXPECTED",
    "find_outputs",
    "find_pins",
    "judge_computed",
    "judge_pins",
    "outputs_of",
    "pins_of",
]

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
    methods = {
        method: _cases(plan, evidence, method, {item.case.label: item.outputs for item in cases})
        for method, cases in evidence.cases.items()
    }
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


def find_outputs(plan: Plan, executor: Fingerprint, root: Path | None = None) -> Pins | None:
    """What is pinned of the plan's programs in the executor's regime; None if nothing is."""
    if not _computed(plan):
        return None
    try:
        root = root or default_root()
    except InputError:
        return None  # installed without a checkout
    regime = golden_key(plan, executor).regime
    return pins.read(root, plan.checkpoint.name, plan.precision.name, regime)


def judge_computed(
    plan: Plan, evidence: Evidence, observation: Observation, kept: Pins | None
) -> list[Verdict]:
    """Compare what programs compute with its pins, where the run is one that pins are of."""
    if not _computed(plan):
        return []
    run = outputs_of(plan, evidence, observation)
    if kept is None:
        expected = plan.checkpoint.name in EXPECTED and run.regime in NAMES
        return [pins.missing(run.checkpoint, run.precision, run.regime)] if expected else []
    return pins.judge(kept, run)


def outputs_of(plan: Plan, evidence: Evidence, observation: Observation) -> Pins:
    """The pins of what an executor made of eager's inputs.

    Of a quantised export the codec alone, which is not quantised: the 4-bit weights of the rest are
    the find of a search, which another machine may end elsewhere.
    """
    methods = [m for m in plan.selected if m.artifact == CODEC or not plan.precision.quantized]
    made = {
        method.name: _cases(plan, evidence, method.name, {
            label: here.outputs for label, here in observation.cases[method.name].items()
        })
        for method in methods
        if method.name in observation.cases
    }  # fmt: skip
    regime = golden_key(plan, observation.executor).regime
    checkpoint, precision = plan.checkpoint, plan.precision.name
    return Pins(checkpoint.name, precision, checkpoint.digest, made, {}, regime=regime)


def _cases(
    plan: Plan, evidence: Evidence, method: str, cases: Mapping[str, tuple[Array, ...]]
) -> dict[str, Pin]:
    """The pin of each case; in 16 bits, of the speech only what no code decides."""
    found = {}
    for label, outputs in cases.items():
        if label == SPEECH and plan.precision.float_type != "float32":
            label, outputs = OPENING, outputs[: _opening(method, evidence)]
        if outputs:
            found[label] = Pin.of(outputs)
    return found


def _opening(method: str, evidence: Evidence) -> int:
    """How many of a method's recorded calls no code decides: the prompt, the first decision."""
    prompts = len(evidence.cases["token_embedding"][0].case.calls)
    counts = {"token_embedding": prompts, "text_decoder": prompts, "semantic_head": 1}
    return counts.get(method, 2 if method == "predict_velocity" else 0)


def _pinned(plan: Plan) -> bool:
    return _usual(plan) and plan.precision.name in pins.DRIFT


def _computed(plan: Plan) -> bool:
    exported = plan.lowering == "mlx" and plan.codec_form == "conv" and not plan.without
    return _usual(plan) and exported and plan.precision.name in pins.OUTPUT_DRIFT


def _usual(plan: Plan) -> bool:
    # Given files may be of other capacities, in which eager's cases are others, too.
    sizes = plan.sizes.max_seq_len, plan.sizes.max_codec_frames
    ours = plan.preset is not None and sizes == capacities(plan.preset)
    return plan.usual and ours


def _digest(values: Array) -> str:
    return hashlib.sha256(np.ascontiguousarray(values, "<i8").tobytes()).hexdigest()
