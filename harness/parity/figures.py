"""What the plots of a report show, taken from the values of one run."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from harness.arrays import Array
from harness.budget import COMMITTED, Budget
from harness.budget.budget import ANYTHING
from harness.compare import Verdict
from harness.compare.waveforms import PCM16_FULL_SCALE
from harness.methods import SOUND, Method
from harness.parity.check import Checked
from harness.parity.evidence import SPEECH
from harness.parity.judges.codes import CODES
from harness.parity.judges.links import name_of
from harness.parity.judges.speech import SUBJECT as SPOKEN
from harness.parity.judges.speech import followed_by
from harness.parity.observation import LocalObservation
from harness.report.figures import Decided, Decisions, Figures, Outputs, Sound, Steps

__all__ = ["figures"]


def figures(checked: Checked, budget: Budget = COMMITTED) -> Figures:
    """Arrays and figures of a run, beside its report.

    Parameters
    ----------
    checked
        The run.
    budget
        What it was judged under.
    """
    local = checked.observation.local
    return Figures(
        steps=tuple(_steps(name, seen, budget) for name, seen in local.items() if seen.steps),
        outputs=tuple(
            each for method in checked.plan.selected for each in _outputs(checked, method)
        ),
        sounds=tuple(_sounds(checked)),
        decisions=_decisions(checked, budget),
    )


def _steps(name: str, seen: LocalObservation, budget: Budget) -> Steps:
    shares, labels = [], []
    for step in seen.steps:
        assert step.worst.error is not None
        shares.append(float(step.worst.error.share(budget.local)))
        module = f" in {step.worst.module}" if step.worst.module else ""
        labels.append(f"{name_of(step)}{module}")
    return Steps(name, tuple(s.worst.step for s in seen.steps), tuple(shares), tuple(labels))


def _outputs(checked: Checked, method: Method) -> Iterator[Outputs]:
    observed = checked.observation.cases.get(method.name, {})
    for item in checked.evidence.cases[method.name]:
        here = observed.get(item.case.label)
        pairs = list(zip(here.outputs if here else (), item.outputs, strict=False))
        if not pairs or any(made.shape != meant.shape for made, meant in pairs):
            continue  # nothing was made, or the verdict says what: there is no difference to plot
        made, meant = zip(*pairs, strict=True)
        verdict = _verdict(checked, method.name, item.case.label)
        yield Outputs(method.name, item.case.label, made, meant, _allowed(verdict))


def _sounds(checked: Checked) -> Iterator[Sound]:
    plan, evidence = checked.plan, checked.evidence
    rate, factor = plan.sizes.sampling_rate, plan.sizes.downsample_factor
    frames = evidence.speech.codes.shape[1]
    for outputs in _outputs(checked, SOUND) if SOUND.name in plan.methods else ():
        if outputs.case == SPEECH:
            made, meant = (
                _joined(side)[: frames * factor] for side in (outputs.made, outputs.meant)
            )
            yield Sound(f"{SOUND.name} · {SPEECH}", made, meant, rate, frames, outputs.allowed)
    said = checked.observation.speech
    followed, _ = (None, None) if said is None else followed_by(evidence, said.first)
    if said is not None and followed is not None:
        case = "waveform, free-running"
        made, meant = (_float(side) for side in (said.first.waveform, followed.waveform))
        allowed = _allowed(_verdict(checked, SPOKEN, case))
        yield Sound(f"{SPOKEN} · {case}", made, meant, rate, said.first.codes.shape[1], allowed)


def _decisions(checked: Checked, budget: Budget) -> Decisions | None:
    said = checked.observation.speech
    verdict = _verdict(checked, SPOKEN, CODES)
    followed, _ = (None, None) if said is None else followed_by(checked.evidence, said.first)
    if said is None or followed is None or verdict is None or not verdict.elements:
        return None
    codes, regime = said.first.codes, checked.observation.executor.regime
    allowance = budget.decision(checked.plan.precision.allowance, regime)
    logits = math.nan if allowance is None else allowance.logits
    levels = math.nan if allowance is None else allowance.levels
    found = []
    for frame in np.flatnonzero(followed.behind):
        ends = frame >= codes.shape[1]
        code = "END_AUDIO" if ends else str(int(codes[0, frame]))
        far = float(followed.behind[frame])
        found.append(Decided(int(frame), 0, code, far, logits, "logits"))
    for book, frame in np.argwhere(followed.beyond):
        code, far = str(int(codes[book + 1, frame])), float(followed.beyond[book, frame])
        found.append(Decided(int(frame), int(book) + 1, code, far, levels, "levels"))
    count = followed.behind.size + followed.beyond.size
    found.sort(key=lambda decided: (decided.frame, decided.book))
    return Decisions(count, codes.shape[1], tuple(found))


def _verdict(checked: Checked, subject: str, case: str) -> Verdict | None:
    found = (v for v in checked.verdicts if (v.subject, v.case) == (subject, case))
    return next(found, None)


def _allowed(verdict: Verdict | None) -> float:
    """The greatest difference that a verdict allows; NaN where nothing was judged."""
    if verdict is None:
        return math.nan
    scale = verdict.metrics.get("scale")
    gate = next((gate for gate in verdict.gates if gate.name == "max abs"), None)
    if gate is None or gate.allowed >= ANYTHING or not isinstance(scale, (int, float)):
        return math.nan
    return gate.allowed * scale


def _joined(outputs: tuple[Array, ...]) -> Array:
    return _float(np.concatenate([output.reshape(-1) for output in outputs]))


def _float(samples: Array) -> Array:
    """Full scale ±1, whichever form the executor gives."""
    wide: Array = np.asarray(samples).reshape(-1).astype(np.float64)
    return wide / PCM16_FULL_SCALE if samples.dtype == np.int16 else wide
