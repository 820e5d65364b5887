"""Judge the control: whether the delegate's payload is what ran."""

from __future__ import annotations

import numpy as np

from harness.compare import Gate, Status, Verdict
from harness.parity.judges.values import refused
from harness.parity.observation import ControlObservation

__all__ = ["SUBJECT", "judge_control"]

SUBJECT = "delegate"

_CASE = "control"

_NEXT = (
    "The constants of the control were drawn for this run and stand in the delegate's payload "
    "alone; no green of this run counts until the executor gives its exact result."
)


def judge_control(seen: ControlObservation) -> Verdict:
    """The control's result, exactly, and the refusal of the damaged one."""
    if seen.output is None:
        assert seen.refusal is not None
        return refused(SUBJECT, _CASE, seen.refusal)
    expected = seen.control.expected
    if seen.output.shape != expected.shape or seen.output.dtype != expected.dtype:
        said = (
            f"expected {expected.dtype} of shape {expected.shape}, got {seen.output.dtype} of "
            f"shape {seen.output.shape}"
        )
        return Verdict(SUBJECT, _CASE, "control", Status.FAIL, said, notes=(_NEXT,))
    wrong = int(np.count_nonzero(~(seen.output == expected)))
    gates = (Gate("wrong elements", float(wrong), 0.0),)
    if wrong:
        said = f"{wrong} of {expected.size} elements are not what this run's constants give"
        return Verdict(SUBJECT, _CASE, "control", Status.FAIL, said, gates=gates, notes=(_NEXT,))
    if seen.refusal is not None:
        return refused(SUBJECT, f"{_CASE}, damaged", seen.refusal)
    if not seen.refused:
        said = "the program ran although the identifier of the delegate's payload was damaged"
        return Verdict(SUBJECT, _CASE, "control", Status.FAIL, said, gates=gates, notes=(_NEXT,))
    said = f"{expected.size} elements as this run's constants give; the damaged payload was refused"
    return Verdict(
        SUBJECT, _CASE, "control", Status.PASS, said, gates=gates, elements=expected.size
    )
